// Loads a model to the GPU in the browser and prints how much wasm memory that took at most, and how long.
// Usage: node load-bench.mjs --model FILE [--backend gpu|cpu]
import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { launch } from './support/browser.mjs';
import { servePackage, sha256 } from './support/fixtures.mjs';
import { openPackage } from './support/page.mjs';

const { values } = parseArgs({ options: { model: { type: 'string' }, backend: { type: 'string', default: 'gpu' } } });
if (!values.model || !existsSync(values.model)) {
  console.error(`usage: node load-bench.mjs --model FILE [--backend gpu|cpu]; there is no file ${values.model ?? ''}`);
  process.exit(2);
}

const file = path.resolve(values.model);
const address = `/bench/${path.basename(file)}`;
const server = await servePackage({ mounts: [['/bench/', path.dirname(file)]] });
const browser = await launch();
try {
  const page = await openPackage(browser, server);
  page.setDefaultTimeout(0);
  const model = { url: server.url + address, sha256: await sha256(file), bytes: statSync(file).size };
  const loaded = await page.evaluate(
    async ([model, backend]) => {
      const started = performance.now();
      let stored = started;
      const onProgress = ({ phase }) => {
        stored = phase === 'load' && stored === started ? performance.now() : stored;
      };
      // Downloading and loading in one worker, so that its memory counts both.
      const near = await nearside.Nearside.load({ model, backend, onProgress });
      const { memoryBytes, loadMs, backend: running } = near.model;
      near.unload();
      return { memoryBytes, loadMs, running, downloadMs: stored - started };
    },
    [model, values.backend],
  );
  const round = (value) => Math.round(value * 10) / 10;
  console.log(
    JSON.stringify({
      model: path.basename(file),
      file_mib: round(model.bytes / 2 ** 20),
      backend: loaded.running.kind,
      device: loaded.running.device,
      peak_wasm_memory_mib: round(loaded.memoryBytes / 2 ** 20),
      download_and_verify_ms: round(loaded.downloadMs),
      load_ms: round(loaded.loadMs),
    }),
  );
} catch (error) {
  console.error(`load bench failed: ${error.message}`);
  process.exitCode = 1;
} finally {
  await browser.close();
  await server.close();
}
