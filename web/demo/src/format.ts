/** Bytes, for people. */
export function bytes(count: number): string {
  if (count < 1000) {
    return `${count} bytes`;
  }
  const units = ['kB', 'MB', 'GB'];
  let value = count;
  let unit = '';
  for (const next of units) {
    if (value < 1000) {
      break;
    }
    value /= 1000;
    unit = next;
  }
  return `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ${unit}`;
}

/** A probability with two digits. */
export function score(value: number): string {
  return value.toFixed(2);
}

/** A count, short. */
export function count(value: number): string {
  return new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 }).format(value);
}
