// A load that begins while the model is still on its way. The server holds the second part of the file back until the
// page has seen the GPU made ready; the worker is served with a few lines before it that count what it asks of WebGPU.
import assert from 'node:assert/strict';
import { createReadStream, statSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { CHROMIUM, launch } from './support/browser.mjs';
import { missing, modelFile, modelSpec, PACKAGE, SMALL_MODEL, servePackageWith } from './support/fixtures.mjs';
import { openPackage } from './support/page.mjs';

const MODEL = modelFile(SMALL_MODEL);
const skip = missing(CHROMIUM, `${PACKAGE}/wasm`, MODEL);
const QUESTION = [{ role: 'user', content: 'What is the capital of France? Answer with one word.' }];
/** So much comes at once: the table, and some weights. */
const FIRST_PART = 12 << 20;
/** The model that checks an adapter binds fewer than these; a real one many more. */
const BOUND = 150;

/** In the worker: tells the page what was asked of WebGPU. */
const COUNTING = `
const toPage = new BroadcastChannel('asked');
for (const name of ['createComputePipeline', 'createBindGroup']) {
  const original = GPUDevice.prototype[name];
  GPUDevice.prototype[name] = function (...given) {
    toPage.postMessage(name);
    return original.apply(this, given);
  };
}
`;

describe('a load ahead of its weights', { skip, timeout: 900_000 }, () => {
  const size = skip ? 0 : statSync(MODEL).size;
  let server;
  let browser;
  let page;
  let model;
  /** Sends the rest of the file, or breaks the connection. */
  let goOn = () => {};
  let goesOn = Promise.resolve(true);

  const held = async (request, response) => {
    const start = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const range = start > 0 ? { 'Content-Range': `bytes ${start}-${size - 1}/${size}` } : {};
    response.writeHead(start > 0 ? 206 : 200, { 'Content-Length': size - start, ...range });
    const send = async (from, to) => {
      for await (const piece of createReadStream(MODEL, { start: from, end: to - 1 })) {
        response.write(piece);
      }
    };
    const middle = start + FIRST_PART;
    await send(start, middle);
    if (await goesOn) {
      await send(middle, size);
      response.end();
    } else {
      response.destroy();
    }
  };

  before(async () => {
    server = await servePackageWith(() => COUNTING, { '/held.gguf': held });
    model = { ...(await modelSpec(server, MODEL)), url: `${server.url}/held.gguf` };
    browser = await launch();
    page = await openPackage(browser, server);
    page.setDefaultTimeout(600_000);
    await page.evaluate(() => {
      window.asked = { createComputePipeline: 0, createBindGroup: 0 };
      window.channel = new BroadcastChannel('asked');
      channel.onmessage = ({ data }) => asked[data]++;
    });
  });
  after(async () => {
    goOn(false);
    await browser?.close();
    await server?.close();
  });

  /** Starts to load and does not wait for it. */
  const start = (options) => {
    goesOn = new Promise((resolve) => {
      goOn = resolve;
    });
    return page.evaluate(
      async ([model, options]) => {
        window.near?.unload();
        Object.assign(asked, { createComputePipeline: 0, createBindGroup: 0 });
        window.settled = false;
        window.loading = attempt(async () => {
          window.near = await nearside.Nearside.load({ model, ...options });
          return near.model;
        }).finally(() => {
          settled = true;
        });
      },
      [model, options],
    );
  };
  const bound = () => page.waitForFunction((least) => settled || asked.createBindGroup > least, BOUND);
  const loaded = () => page.evaluate(() => loading);
  const compiled = () => page.evaluate(() => asked.createComputePipeline);

  test('a download that breaks off takes with it what was begun, and is itself kept', async () => {
    await start({ backend: 'gpu' });
    await bound();
    goOn(false);
    const { error } = await loaded();
    assert.equal(error?.code, 'download_interrupted');
  });

  test('the GPU is ready before the file is here, and nothing is compiled afterwards', async () => {
    await start({ backend: 'gpu' });
    await bound();
    const before = await compiled();
    goOn(true);
    const { value: info, error } = await loaded();
    assert.equal(error, undefined, error?.message);
    const { download, prepare, load } = info.timings;
    assert.ok(download.began < prepare.began && prepare.began < prepare.ended, JSON.stringify(info.timings));
    assert.ok(prepare.ended < download.ended, 'it was compiled during the download');
    assert.ok(download.ended <= load.began && load.began < load.ended, JSON.stringify(info.timings));
    assert.equal(await compiled(), before, 'and nothing was left to compile');
    const answer = await page.evaluate(
      (messages) => attempt(() => near.chat.completions.create({ messages, temperature: 0, max_tokens: 6 })),
      QUESTION,
    );
    assert.match(answer.value.choices[0].message.content, /Paris/);
  });

  test('where the CPU will run the model nothing is begun, and a stored model tells of no download', async () => {
    for (const backend of ['cpu', 'auto']) {
      await page.evaluate((model) => {
        window.near?.unload();
        return nearside.models.remove(model);
      }, model);
      await start({ backend });
      goOn(true);
      const { value: info, error } = await loaded();
      assert.equal(error, undefined, error?.message);
      assert.equal(info.backend.kind, 'cpu');
      assert.equal(info.timings.prepare, undefined);
      assert.ok(info.timings.download.ended > 0);
      assert.equal(await compiled(), 0, `${backend}: nothing was compiled`);
    }
    await start({ backend: 'cpu' });
    const { value: info } = await loaded();
    assert.deepEqual(Object.keys(info.timings), ['load']);
  });
});
