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

/** One comparison's figures. */
export function row({ peer, model, threads, bars }, taken, peak, { info, busy, load }) {
  return {
    peer,
    model,
    threads,
    prefill: speed(taken, 'prefill', bars.prefill),
    decode: speed(taken, 'decode', bars.decode),
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

const COLUMNS = ['against', 'model', 'threads', 'figure', 'ours', 'theirs', 'ratio', 'bar', 'spread of ours', 'theirs'];

/** A report as text. */
export function table(report) {
  const lines = [COLUMNS];
  for (const one of report.rows) {
    for (const name of ['prefill', 'decode', 'peak_mib']) {
      const { ours, theirs, ratio, bar, spread } = one[name];
      const missed = report.ratios.some(
        ({ peer, model, threads, short }) =>
          peer === one.peer && model === one.model && threads === one.threads && name in short,
      );
      const limit = bar === null ? '' : `${name === 'peak_mib' ? '≤' : '≥'} ${bar}${missed ? ' missed' : ''}`;
      const ranges = spread ? [spread.ours.join('–'), spread.theirs.join('–')] : ['', ''];
      lines.push([one.peer, one.model, one.threads, name, ours, theirs, `${ratio}×`, limit, ...ranges].map(String));
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
