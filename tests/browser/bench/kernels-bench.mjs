// How fast each kernel of the CPU backend is in the browser, beside what the machine can do at most.
// Usage: node kernels-bench.mjs --program FILE.wasm [FORMAT...]
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { launch } from '../support/browser.mjs';
import { servePackage } from '../support/fixtures.mjs';
import { limits, programMount, runProgram } from './limits.mjs';
import { machine } from './machine.mjs';
import { printResult } from './report.mjs';

const { values, positionals } = parseArgs({ options: { program: { type: 'string' } }, allowPositionals: true });
const page = path.join(path.dirname(fileURLToPath(import.meta.url)), 'page');
const server = await servePackage({ mounts: [['/bench/', page], programMount(values.program)] });
const browser = await launch({ webgpu: false });
try {
  const two = await limits(browser, server, values.program, 2);
  const [kernels] = await runProgram(browser, server, values.program, ['1', ...positionals], 1);
  printResult(machine());
  printResult(`2 at once: at most ${two.giga_products.toFixed(1)} GMAC/s, ${two.giga_bytes.toFixed(1)} GB/s`);
  printResult(kernels.trimEnd());
} finally {
  await browser.close();
  await server.close();
}
