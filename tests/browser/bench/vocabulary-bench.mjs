// How long large vocabularies take to load in the page: from the page's private files to the first weight of a model that
// has hardly any weights. Every load is a new module's first. What counts is the time that the worker had a processor.
// Usage: node vocabulary-bench.mjs ROUNDS FILE...
import { statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch } from '../support/browser.mjs';
import { servePackage } from '../support/fixtures.mjs';
import { load, machine, workerTime } from './machine.mjs';
import { median, printResult } from './report.mjs';

/** Milliseconds. */
const BAR = 400;

const [rounds, ...files] = process.argv.slice(2);
const server = await servePackage({
  mounts: [
    ['/bench/', path.join(path.dirname(fileURLToPath(import.meta.url)), 'page')],
    ...files.map((file) => [`/files/${path.basename(file)}`, file]),
  ],
});
const browser = await launch({ webgpu: false });

/** Has the page's worker do the next thing, and gives what it says. */
const tell = (page, what) =>
  page.evaluate(
    (what) =>
      new Promise((resolve, reject) => {
        window.worker ??= new Worker('/bench/vocabulary.js', { type: 'module' });
        worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data));
        worker.onerror = ({ message }) => reject(new Error(message));
        worker.postMessage(what);
      }),
    what,
  );

async function measure(file) {
  const name = path.basename(file);
  const model = { name, url: `${server.url}/files/${name}`, bytes: statSync(file).size };
  const [busy, waited] = [[], []];
  let last;
  // The first one brings the file.
  for (let round = 0; round <= Number(rounds); round++) {
    const page = await browser.page();
    page.setDefaultTimeout(0);
    await page.goto(`${server.url}/blank.html`);
    await tell(page, model);
    const before = workerTime(browser.profile);
    last = await tell(page, null);
    const after = workerTime(browser.profile);
    await page.close();
    if (round > 0) {
      busy.push(after - before);
      waited.push(last.taken);
    }
  }
  const [middle, least, most, wall] = [median(busy), Math.min(...busy), Math.max(...busy), median(waited)].map(
    Math.round,
  );
  const verdict = middle <= BAR ? `within ${BAR} ms` : `MISSES ${BAR} ms`;
  const memory = Math.round(last.memory / 2 ** 20);
  return `${name}: ${middle} ms (${least} to ${most}), ${verdict}; ${wall} ms on the wall, ${memory} MiB of wasm memory, ${last.build}`;
}

try {
  const lines = [`${machine()}; load ${load()} at the start`];
  for (const file of files) {
    lines.push(await measure(file));
  }
  printResult(lines.join('\n'));
} catch (error) {
  console.error(`vocabulary bench failed: ${error.stack ?? error}`);
  process.exitCode = 1;
} finally {
  await browser.close();
  await server.close();
}
