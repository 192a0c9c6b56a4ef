// Our package and its peers in turn in one browser: prefill, decode, and the peak memory of each in a browser alone.
// Usage: node browser-bench.mjs --plan FILE [--rounds N] [--json]
// FILE says what to serve and what to compare: { mounts: { ADDRESS: FOLDER }, limits: PROGRAM,
//   cases: [{ peer, model, file, folder, threads, work, bars: { prefill, decode, peak_mib } }] }. PROGRAM measures what
//   the machine can do at most, and `work` is what a token asks of it: { prefill_products, decode_products, decode_bytes }.
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { launch } from '../support/browser.mjs';
import { servePackage, sha256 } from '../support/fixtures.mjs';
import { limits, programMount } from './limits.mjs';
import { foreignWork, load, machine, watchMemory } from './machine.mjs';
import { median, printResult, ratios, row, table } from './report.mjs';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const CONTEXT = 1024;
/** Above this share of the processors busy with other things, figures are not worth much. */
const QUIET = 10;

const { values } = parseArgs({
  options: {
    plan: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
  },
});
const rounds = Math.max(1, Number(values.rounds) || 5);
const { mounts, limits: program, cases } = JSON.parse(readFileSync(values.plan, 'utf8'));
const say = (text) => console.error(text);

function nameOf({ peer, model, threads }) {
  return `${peer}/${model}/${threads}`;
}

const hashes = new Map();
async function hashOf(file) {
  if (!hashes.has(file)) {
    hashes.set(file, await sha256(file));
  }
  return hashes.get(file);
}

const folders = [...new Set(cases.map(({ file }) => path.dirname(file)))];
const server = await servePackage({
  mounts: [
    ['/bench/', path.join(HERE, 'page')],
    ...Object.entries(mounts),
    ...folders.map((folder, index) => [`/files${index}/`, folder]),
    programMount(program),
  ],
});

/** What a side of a comparison is opened with. */
async function optionsOf({ file, folder, threads }) {
  const url = `${server.url}/files${folders.indexOf(path.dirname(file))}/${path.basename(file)}`;
  const model = { url, sha256: await hashOf(file), bytes: statSync(file).size };
  return { model, folder, threads, context: CONTEXT };
}

/** A page in which one side has its model loaded. */
async function openSide(browser, side, options) {
  const page = await browser.page();
  page.setDefaultTimeout(0);
  await page.goto(`${server.url}/blank.html`);
  const info = await page.evaluate(
    async ([side, options]) => {
      window.side = await (await import(`/bench/${side}.js`)).open(options);
      return window.side.info;
    },
    [side, options],
  );
  return {
    info,
    round: (number, written) =>
      page.evaluate(([number, written]) => window.side.round(number, written), [number, written]),
  };
}

/** The peak memory of a browser in which this side alone loads its model, reads the prompt and writes a little. */
async function peakMemory(side, options) {
  const browser = await launch({ webgpu: false });
  const memory = watchMemory(browser.profile);
  try {
    await (await openSide(browser, side, options)).round(0, 8);
  } finally {
    await browser.close();
  }
  return memory.stop();
}

async function compare(one) {
  const options = await optionsOf(one);
  say(`${nameOf(one)}: memory of each alone`);
  const peak = { ours: await peakMemory('nearside', options), theirs: await peakMemory(one.peer, options) };
  say(`${nameOf(one)} peak memory: ours ${peak.ours} MiB, theirs ${peak.theirs} MiB`);
  const browser = await launch({ webgpu: false });
  try {
    const sides = {
      ours: await openSide(browser, 'nearside', options),
      theirs: await openSide(browser, one.peer, options),
    };
    const busy = [];
    const taken = { ours: [], theirs: [] };
    for (let number = 0; number <= rounds; number++) {
      busy.push(await foreignWork());
      // Whoever goes second finds a warmer machine, so they take turns at that too.
      const order = number % 2 === 0 ? ['ours', 'theirs'] : ['theirs', 'ours'];
      for (const name of order) {
        const figures = await sides[name].round(number + 1);
        say(
          `${nameOf(one)} round ${number || 'warm-up'}: ${name} read ${figures.prompt} at ${figures.prefill.toFixed(1)}/s, ` +
            `wrote ${figures.written} at ${figures.decode.toFixed(1)}/s`,
        );
        if (number > 0) {
          taken[name].push(figures);
        }
      }
    }
    // Beside the rounds, since what a shared machine can do changes with the hour.
    const most = await limits(browser, server, program, one.threads);
    return row(one, taken, peak, { info: sides.ours.info, busy: median(busy), load: load(), most });
  } finally {
    await browser.close();
  }
}

try {
  const foreign = await foreignWork();
  const start = load();
  if (foreign > QUIET) {
    say(`warning: other work keeps ${foreign} % of the processors busy (load ${start}); figures suffer, ratios less`);
  }
  const rows = [];
  for (const one of cases) {
    rows.push(await compare(one));
  }
  const report = {
    machine: machine(),
    rounds,
    load_at_start: start,
    foreign_work_percent: foreign,
    rows,
    ratios: ratios(rows),
  };
  printResult(values.json ? JSON.stringify(report) : table(report));
} catch (error) {
  say(`browser bench failed: ${error.stack ?? error}`);
  process.exitCode = 1;
} finally {
  await server.close();
}
