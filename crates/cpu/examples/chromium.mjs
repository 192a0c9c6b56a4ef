// Runs a program that was compiled for WASI in headless Chromium and prints what it prints.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { argv, env, exit, stdout } from 'node:process';

const [, , program, ...args] = argv;

// In a worker, as the engine is; it knows as much of WASI as a program needs that prints and tells the time.
const worker = `
const text = new TextDecoder();
onmessage = async ({ data: args }) => {
  let memory;
  const view = () => new DataView(memory.buffer);
  const strings = args.map((arg) => new TextEncoder().encode(arg + '\\0'));
  const known = {
    args_sizes_get(count, size) {
      view().setUint32(count, strings.length, true);
      view().setUint32(size, strings.reduce((sum, string) => sum + string.length, 0), true);
      return 0;
    },
    args_get(list, bytes) {
      for (const string of strings) {
        view().setUint32(list, bytes, true);
        new Uint8Array(memory.buffer).set(string, bytes);
        list += 4;
        bytes += string.length;
      }
      return 0;
    },
    environ_sizes_get(count, size) {
      view().setUint32(count, 0, true);
      view().setUint32(size, 0, true);
      return 0;
    },
    clock_time_get(id, precision, place) {
      view().setBigUint64(place, BigInt(Math.round(performance.now() * 1e6)), true);
      return 0;
    },
    fd_write(file, list, count, place) {
      let written = 0;
      for (let index = 0; index < count; index++) {
        const start = view().getUint32(list + 8 * index, true);
        const length = view().getUint32(list + 8 * index + 4, true);
        postMessage(text.decode(new Uint8Array(memory.buffer, start, length)));
        written += length;
      }
      view().setUint32(place, written, true);
      return 0;
    },
    random_get: () => 0,
    proc_exit(code) { throw code; },
  };
  const module = await WebAssembly.compileStreaming(fetch('/program.wasm'));
  const needed = WebAssembly.Module.imports(module).map(({ name }) => [name, known[name] ?? (() => 52)]);
  const instance = await WebAssembly.instantiate(module, { wasi_snapshot_preview1: Object.fromEntries(needed) });
  memory = instance.exports.memory;
  let code = 0;
  try {
    instance.exports._start();
  } catch (thrown) {
    code = typeof thrown === 'number' ? thrown : 1;
    if (typeof thrown !== 'number') postMessage(String(thrown) + '\\n');
  }
  postMessage({ code });
};`;
const page = `<!doctype html><script>
const worker = new Worker('/worker.js');
let last = Promise.resolve();
worker.onmessage = ({ data }) => {
  last = last.then(() => fetch('/said', { method: 'POST', body: JSON.stringify(data) }));
};
worker.onerror = (event) => worker.onmessage({ data: { code: 1, error: event.message } });
worker.postMessage(${JSON.stringify(['program', ...args])});
</script>`;

const files = {
  '/': ['text/html', page],
  '/worker.js': ['text/javascript', worker],
  '/program.wasm': ['application/wasm', await readFile(program)],
};
const profile = await mkdtemp(path.join(tmpdir(), 'kernels-'));
let browser;
const finish = async (code) => {
  browser.kill();
  server.close();
  await new Promise((resolve) => setTimeout(resolve, 300));
  await rm(profile, { recursive: true, force: true });
  exit(code);
};
const server = createServer(async (request, response) => {
  if (request.method === 'POST') {
    let body = '';
    for await (const chunk of request) body += chunk;
    response.end();
    const said = JSON.parse(body);
    if (typeof said === 'string') stdout.write(said);
    else finish(said.code);
    return;
  }
  const [type, content] = files[request.url] ?? ['text/plain', ''];
  response.writeHead(200, {
    'content-type': type,
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-embedder-policy': 'require-corp',
  });
  response.end(content);
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'];
browser = spawn(env.NEARSIDE_CHROMIUM || 'chromium', [
  ...flags,
  `--user-data-dir=${profile}`,
  `http://127.0.0.1:${server.address().port}/`,
]);
