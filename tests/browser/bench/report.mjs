// Medians, spreads and ratios, and the table of them.

/** The middle one, or the mean of the two in the middle. */
export function median(values) {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const round = (value, digits = 2) => Number(value.toFixed(digits));

function speed(taken, name, bar) {
  const [ours, theirs] = [taken.ours, taken.theirs].map((rounds) => rounds.map((figures) => figures[name]));
  const range = (values) => [round(Math.min(...values)), round(Math.max(...values))];
  return {
    ours: round(median(ours)),
    theirs: round(median(theirs)),
    ratio: round(median(ours) / median(theirs)),
    bar,
    spread: { ours: range(ours), theirs: range(theirs) },
  };
}

/** A figure with the most tokens a second that the machine could do, and our share of it. */
function limited(figures, most) {
  return { ...figures, limit: round(most), of_limit: round(figures.ours / most) };
}

/** One comparison's figures. `most` is what the machine does at most. */
export function row({ peer, model, threads, work, bars }, taken, peak, { info, busy, load, most }) {
  const reading = (most.giga_products * 1e9) / work.prefill_products;
  // A token waits for its weights and for the products with them; the longer of the two is the limit.
  const writing = Math.min(
    (most.giga_bytes * 1e9) / work.decode_bytes,
    (most.giga_products * 1e9) / work.decode_products,
  );
  return {
    peer,
    model,
    threads,
    prefill: limited(speed(taken, 'prefill', bars.prefill), reading),
    decode: limited(speed(taken, 'decode', bars.decode), writing),
    most: { giga_products: round(most.giga_products), giga_bytes: round(most.giga_bytes) },
    peak_mib: { ...peak, ratio: round(peak.ours / peak.theirs), bar: bars.peak_mib },
    prompt_tokens: { ours: taken.ours[0].prompt, theirs: taken.theirs[0].prompt },
    ours: info,
    foreign_work_percent: busy,
    load,
  };
}

/** Which of a row's figures miss their bar, each with its ratio. More is better, except for memory. */
function short({ prefill, decode, peak_mib }) {
  const missed = Object.entries({ prefill, decode }).filter(([, { ratio, bar }]) => bar !== null && ratio < bar);
  if (peak_mib.bar !== null && peak_mib.ratio > peak_mib.bar) {
    missed.push(['peak_mib', peak_mib]);
  }
  return Object.fromEntries(missed.map(([name, { ratio, bar }]) => [name, { ratio, bar }]));
}

/** What misses its bar, for each row. */
export function ratios(rows) {
  return rows.map((one) => ({ peer: one.peer, model: one.model, threads: one.threads, short: short(one) }));
}

const COLUMNS = [
  'against',
  'model',
  'threads',
  'figure',
  'ours',
  'theirs',
  'ratio',
  'bar',
  'spread of ours',
  'theirs',
  'limit',
  'of it',
];

/** A report as text. */
export function table(report) {
  const lines = [COLUMNS];
  for (const one of report.rows) {
    for (const name of ['prefill', 'decode', 'peak_mib']) {
      const { ours, theirs, ratio, bar, spread, limit, of_limit } = one[name];
      const missed = report.ratios.some(
        ({ peer, model, threads, short }) =>
          peer === one.peer && model === one.model && threads === one.threads && name in short,
      );
      const demand = bar === null ? '' : `${name === 'peak_mib' ? '≤' : '≥'} ${bar}${missed ? ' missed' : ''}`;
      const ranges = spread ? [spread.ours.join('–'), spread.theirs.join('–')] : ['', ''];
      const most = limit === undefined ? ['', ''] : [limit, of_limit];
      const cells = [one.peer, one.model, one.threads, name, ours, theirs, `${ratio}×`, demand, ...ranges, ...most];
      lines.push(cells.map(String));
    }
  }
  const widths = COLUMNS.map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  const text = lines.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column]))
      .join('  ')
      .trimEnd(),
  );
  const about = `${report.machine}; ${report.rounds} rounds after a warm-up; load ${report.load_at_start} at the start`;
  return [about, ...text].join('\n');
}

/** Prints what was found so that the caller can tell it from what was said on the way. */
export function printResult(text) {
  for (const line of text.split('\n')) {
    console.log(`result:${line}`);
  }
}
