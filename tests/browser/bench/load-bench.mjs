// Loading a model in the page: from the store to the first token, beside wllama; the next turn of a long conversation,
// with and without what the session holds; and how much wasm memory loading took at most.
// Usage: node load-bench.mjs --plan FILE [--json]
// FILE: { mounts: { ADDRESS: FOLDER }, file, backend, rounds }; without rounds only the memory is measured.
import { readFileSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { launch } from '../support/browser.mjs';
import { servePackage, sha256 } from '../support/fixtures.mjs';
import { openPackage } from '../support/page.mjs';
import { load, machine } from './machine.mjs';
import { median, printResult } from './report.mjs';

const BARS = { load: 0.7, follow_up: 15 };
const CONTEXT = 2048;
/** Words of a history that comes to some 1,000 tokens. */
const HISTORY_WORDS = 780;
const THREADS = Math.min(2, availableParallelism());

const { values } = parseArgs({ options: { plan: { type: 'string' }, json: { type: 'boolean', default: false } } });
const { mounts, file, backend, rounds } = JSON.parse(readFileSync(values.plan, 'utf8'));
const say = (text) => console.error(text);
const round = (value) => Math.round(value * 10) / 10;

const server = await servePackage({
  mounts: [
    ['/bench/', path.join(path.dirname(fileURLToPath(import.meta.url)), 'page')],
    ['/files/', path.dirname(file)],
    ...Object.entries(mounts),
  ],
});
const model = {
  url: `${server.url}/files/${path.basename(file)}`,
  sha256: await sha256(file),
  bytes: statSync(file).size,
};

/** Calls a function of the page's module in a page of its own, or in the one given. */
async function inPage(browser, name, argument, page = null) {
  const opened = page ?? (await browser.page());
  opened.setDefaultTimeout(0);
  if (!page) {
    await opened.goto(`${server.url}/blank.html`);
  }
  const result = await opened.evaluate(
    async ([name, argument]) => (await import('/bench/load.js'))[name](argument),
    [name, argument],
  );
  return { result, page: opened };
}

/** Downloading and loading in one worker, so that its memory counts both. */
async function memory(browser) {
  const page = await openPackage(browser, server);
  page.setDefaultTimeout(0);
  const loaded = await page.evaluate(
    async ([model, backend]) => {
      const started = performance.now();
      let stored = started;
      const onProgress = ({ phase }) => {
        stored = phase === 'load' && stored === started ? performance.now() : stored;
      };
      const near = await nearside.Nearside.load({ model, backend, onProgress });
      const { memoryBytes, loadMs, backend: running } = near.model;
      near.unload();
      return { memoryBytes, loadMs, running, downloadMs: stored - started };
    },
    [model, backend],
  );
  await page.close();
  return {
    backend: loaded.running.kind,
    device: loaded.running.device,
    peak_wasm_memory_mib: round(loaded.memoryBytes / 2 ** 20),
    download_and_verify_ms: round(loaded.downloadMs),
    load_ms: round(loaded.loadMs),
  };
}

/** Both sides load from their stores, each time in a fresh page, in turn. */
async function loading(browser) {
  const options = { model, threads: THREADS, context: CONTEXT };
  for (const name of ['download', 'downloadWllama']) {
    await (await inPage(browser, name, model)).page.close();
  }
  const taken = { nearside: [], wllama: [] };
  // The round before the first fills the system's file cache for both.
  for (let number = 0; number <= rounds; number++) {
    for (const name of number % 2 === 0 ? ['nearside', 'wllama'] : ['wllama', 'nearside']) {
      const { result, page } = await inPage(browser, name, options);
      await page.close();
      say(`load round ${number || 'warm-up'}: ${name} first token after ${Math.round(result.first)} ms`);
      if (number > 0) {
        taken[name].push(result.first);
      }
    }
  }
  const [ours, theirs] = [median(taken.nearside), median(taken.wllama)];
  return {
    threads: THREADS,
    ours_ms: round(ours),
    theirs_ms: round(theirs),
    ratio: Math.round((ours / theirs) * 100) / 100,
    bar: BARS.load,
    spread: { ours: taken.nearside.map(round), theirs: taken.wllama.map(round) },
  };
}

/** The second turn of a long conversation: in the session that holds the first, and in one that holds nothing. */
async function followUp(browser) {
  const options = { model, threads: THREADS, context: CONTEXT };
  const sample = readFileSync(new URL('./page/prompt.js', import.meta.url), 'utf8')
    .match(/`([^`]+)`/)[1]
    .split(' ');
  const history = Array.from({ length: HISTORY_WORDS }, (_, at) => sample[at % sample.length]).join(' ');
  const first = [{ role: 'user', content: history }];
  const held = await inPage(browser, 'nearside', options);
  const before = await inPage(browser, 'turn', first, held.page);
  const next = [...first, { role: 'assistant', content: before.result.text }, { role: 'user', content: 'Why?' }];
  const reused = await inPage(browser, 'turn', next, held.page);
  await held.page.close();
  const empty = await inPage(browser, 'nearside', options);
  const fresh = await inPage(browser, 'turn', next, empty.page);
  await empty.page.close();
  return {
    history_tokens: reused.result.prompt,
    reused_tokens: reused.result.reused,
    reused_ms: round(reused.result.first),
    fresh_ms: round(fresh.result.first),
    ratio: round(fresh.result.first / reused.result.first),
    bar: BARS.follow_up,
  };
}

const browser = await launch();
try {
  const report = { machine: machine(), load_at_start: load(), model: path.basename(file) };
  Object.assign(report, { file_mib: round(model.bytes / 2 ** 20), ...(await memory(browser)) });
  if (rounds > 0) {
    Object.assign(report, { rounds, first_token: await loading(browser), follow_up: await followUp(browser) });
  }
  const lines = Object.entries(report).map(([name, value]) => `${name}: ${JSON.stringify(value)}`);
  printResult(values.json ? JSON.stringify(report) : lines.join('\n'));
} catch (error) {
  say(`load bench failed: ${error.stack ?? error}`);
  process.exitCode = 1;
} finally {
  await browser.close();
  await server.close();
}
