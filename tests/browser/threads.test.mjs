// The builds of the engine: the page takes the one it can run, downloads no other, and all of them answer the same.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { CHROMIUM, launch } from './support/browser.mjs';
import { missing, modelFile, modelSpec, PACKAGE, SMALL_MODEL, servePackage } from './support/fixtures.mjs';
import { openPackage } from './support/page.mjs';

const MODEL = modelFile(SMALL_MODEL);
const skip = missing(CHROMIUM, `${PACKAGE}/wasm`, MODEL);
const QUESTION = [{ role: 'user', content: 'What is the capital of France? Answer with one word.' }];

/** How many threads of workers the browser of that profile has. */
function workerThreads(profile) {
  const quietly = (read) => {
    try {
      return read();
    } catch {
      return [];
    }
  };
  const processes = readdirSync('/proc').filter((id) => /^\d+$/.test(id));
  const own = processes.filter((id) => quietly(() => readFileSync(`/proc/${id}/cmdline`, 'utf8')).includes(profile));
  // Renderers are named by what they came from, so the whole tree below is looked through.
  const parents = new Set(own);
  for (let added = true; added; ) {
    added = false;
    for (const id of processes) {
      const status = quietly(() => readFileSync(`/proc/${id}/status`, 'utf8'));
      const parent = status.length > 0 && /^PPid:\s+(\d+)/m.exec(status)?.[1];
      if (parent && parents.has(parent) && !parents.has(id)) {
        parents.add(id);
        added = true;
      }
    }
  }
  const names = [...parents].flatMap((id) =>
    quietly(() => readdirSync(`/proc/${id}/task`)).map((task) =>
      String(quietly(() => readFileSync(`/proc/${id}/task/${task}/comm`, 'utf8'))).trim(),
    ),
  );
  return names.filter((name) => name.startsWith('DedicatedWorke')).length;
}

describe('builds and threads', { skip }, () => {
  let server;
  let bare;
  let browser;
  let brokenThreads = false;
  /** What every build must answer. */
  let expected;

  before(async () => {
    const thread = readFileSync(`${PACKAGE}/thread.js`, 'utf8');
    const routes = {
      '/package/thread.js': (_request, response) =>
        response
          .writeHead(200, { 'Content-Type': 'text/javascript' })
          .end(brokenThreads ? 'throw new Error("on purpose");' : thread),
    };
    server = await servePackage({ routes });
    bare = await servePackage({ isolated: false });
    browser = await launch({ webgpu: false });
  });
  after(async () => {
    await browser?.close();
    await server?.close();
    await bare?.close();
  });

  /** Loads and asks in a page of its own; `prepare` runs in the page before the package is there. */
  const answer = async (from, { threads = null, prepare = null } = {}) => {
    from.log.length = 0;
    const page = await browser.page();
    if (prepare) {
      await page.addInitScript(prepare);
    }
    const opened = await openPackage(browser, from, page);
    const result = await opened.evaluate(
      async ([model, threads, messages]) => {
        const options = threads === null ? {} : { threads };
        window.near = await nearside.Nearside.load({ model, backend: 'cpu', ...options });
        const { choices } = await near.chat.completions.create({ messages, temperature: 0, max_tokens: 16 });
        const { build, threads: working, notes } = near.model;
        return { text: choices[0].message.content, build, threads: working, notes, expected: near.environment.build };
      },
      [await modelSpec(from, MODEL), threads, QUESTION],
    );
    const modules = [...new Set(from.log.map(({ path }) => path).filter((path) => path.endsWith('.wasm')))];
    return { ...result, modules, page: opened };
  };

  test('an isolated page runs threads, and ends them with the model', async () => {
    const before = workerThreads(browser.profile);
    const found = await answer(server, { threads: 3 });
    assert.equal(found.build, 'threads-relaxed');
    assert.equal(found.threads, 3);
    assert.deepEqual(found.notes, []);
    assert.deepEqual(found.modules, ['/package/wasm/threads-relaxed/nearside-threads-relaxed_bg.wasm']);
    assert.match(found.text, /Paris/);
    expected = found.text;
    if (process.platform === 'linux') {
      assert.equal(workerThreads(browser.profile), before + 3);
      await found.page.evaluate(() => near.unload());
      for (let tries = 0; tries < 50 && workerThreads(browser.profile) > before; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      assert.equal(workerThreads(browser.profile), before, 'no thread outlives the model');
    }
    await found.page.close();
  });

  test('one thread answers the same', async () => {
    const found = await answer(server, { threads: 1 });
    assert.equal(found.threads, 1);
    assert.equal(found.text, expected);
    await found.page.close();
  });

  test('a page that is not isolated takes the build without threads, and says so when more were asked for', async () => {
    const found = await answer(bare, { threads: 2 });
    assert.equal(found.build, 'relaxed');
    assert.equal(found.threads, 1);
    assert.match(found.notes.join(' '), /one thread/);
    assert.deepEqual(found.modules, ['/package/wasm/relaxed/nearside-relaxed_bg.wasm']);
    assert.equal(found.text, expected);
    await found.page.close();
  });

  test('a browser without relaxed SIMD takes the plain builds, and they answer the same', async () => {
    const prepare = () => {
      WebAssembly.validate = () => false;
    };
    for (const [from, build] of [
      [server, 'threads'],
      [bare, 'simd'],
    ]) {
      const found = await answer(from, { prepare });
      assert.equal(found.build, build);
      assert.equal(found.expected, build, 'the environment names the build that runs');
      assert.deepEqual(found.modules, [`/package/wasm/${build}/nearside-${build}_bg.wasm`]);
      assert.equal(found.text, expected);
      await found.page.close();
    }
  });

  test('threads that do not start are done without, and the model says why', async () => {
    brokenThreads = true;
    try {
      const found = await answer(server, { threads: 3 });
      assert.equal(found.threads, 1);
      assert.match(found.notes.join(' '), /1 of 3 threads work: .*on purpose/);
      assert.equal(found.text, expected);
      await found.page.close();
    } finally {
      brokenThreads = false;
    }
  });

  test('a number of threads that makes no sense is refused', async () => {
    const page = await openPackage(browser, server);
    const { error } = await page.evaluate(
      (model) => attempt(() => nearside.Nearside.load({ model, threads: 0 })),
      await modelSpec(server, MODEL),
    );
    assert.equal(error?.code, 'invalid_request');
    assert.match(error.message, /threads/);
    await page.close();
  });
});
