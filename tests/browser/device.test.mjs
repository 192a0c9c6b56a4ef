// A GPU that goes away, while loading, reading and writing: the answer goes on, on the GPU or, if that stays away, on the
// CPU. The worker is served with a few lines before it that count what the engine asks of WebGPU and destroy the device
// when they are told to.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CHROMIUM, launch } from './support/browser.mjs';
import { missing, modelFile, modelSpec, PACKAGE, SMALL_MODEL, servePackageWith } from './support/fixtures.mjs';
import { openPackage } from './support/page.mjs';

const MODEL = modelFile(SMALL_MODEL);
const skip = missing(CHROMIUM, `${PACKAGE}/wasm`, MODEL);
const QUESTION = [{ role: 'user', content: 'What is the capital of France? Answer with one word.' }];

/** In the worker: destroys the newest device at the given submit, and then perhaps hides every adapter. */
const FAULTS = `
const faults = { at: 0, gone: false, device: null, hidden: false };
new BroadcastChannel('faults').onmessage = ({ data }) => Object.assign(faults, data);
const { requestAdapter } = GPU.prototype;
GPU.prototype.requestAdapter = function (...options) {
  return faults.hidden ? Promise.resolve(null) : requestAdapter.apply(this, options);
};
const { requestDevice } = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = async function (...options) {
  faults.device = await requestDevice.apply(this, options);
  return faults.device;
};
for (const name of ['submit', 'writeBuffer']) {
  const original = GPUQueue.prototype[name];
  GPUQueue.prototype[name] = function (...given) {
    const result = original.apply(this, given);
    if (--faults.at === 0) {
      faults.hidden = faults.gone;
      faults.device.destroy();
    }
    return result;
  };
}
`;

describe('a lost device', { skip, timeout: 900_000 }, () => {
  let server;
  let browser;
  let page;
  let model;
  let expected;
  /** What a worker begins with. */
  let atStart = {};

  before(async () => {
    server = await servePackageWith(() => `${FAULTS}\nObject.assign(faults, ${JSON.stringify(atStart)});`);
    model = await modelSpec(server, MODEL);
    browser = await launch();
    page = await openPackage(browser, server);
    page.setDefaultTimeout(600_000);
    expected = await page.evaluate(
      async ([model, messages]) => {
        window.faults = new BroadcastChannel('faults');
        window.load = async (onProgress = () => {}) => {
          window.near?.unload();
          window.events = [];
          window.near = await nearside.Nearside.load({
            model,
            backend: 'gpu',
            onProgress,
            onDevice: (event) => events.push(event),
          });
          return near.model;
        };
        window.ask = async (onText = () => {}) => {
          const request = { messages, temperature: 0, max_tokens: 6, stream: true };
          return listen(await near.chat.completions.create(request), (_chunk, chunks) => onText(chunks.length));
        };
        const cpu = await nearside.Nearside.load({ model, backend: 'cpu' });
        const { choices } = await cpu.chat.completions.create({ messages, temperature: 0, max_tokens: 6 });
        cpu.unload();
        return choices[0].message.content;
      },
      [model, QUESTION],
    );
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  const events = () => page.evaluate(() => events.map(({ state }) => state));

  test('lost while it is tried out: it is asked for again, and the model is there', async () => {
    atStart = { at: 40 };
    const info = await page
      .evaluate(() => load())
      .finally(() => {
        atStart = {};
      });
    assert.equal(info.backend.kind, 'gpu');
    assert.match(info.choice, /lost .* and came back/);
    assert.deepEqual(await events(), ['lost']);
  });

  test('lost while loading: it is asked for again, and the model is there', async () => {
    const info = await page.evaluate(() => {
      let loading = false;
      return load(({ phase }) => {
        if (phase === 'load' && !loading) {
          loading = true;
          faults.postMessage({ at: 1 });
        }
      });
    });
    assert.equal(info.backend.kind, 'gpu');
    assert.match(info.choice, /lost .* and came back/);
    assert.deepEqual(await events(), ['lost']);
    assert.equal((await page.evaluate(() => ask())).text, expected);
  });

  test('lost while reading the question: the answer is the same', async () => {
    const answer = await page.evaluate(() => {
      faults.postMessage({ at: 1 });
      return ask();
    });
    assert.equal(answer.text, expected);
    assert.deepEqual(await events(), ['lost', 'lost', 'restored']);
    const info = await page.evaluate(() => near.model);
    assert.equal(info.backend.kind, 'gpu');
    assert.match(info.choice, /came back/);
  });

  test('lost while writing, and gone for good: the CPU goes on in the same answer, and says so', async () => {
    await page.evaluate(() => load());
    const answer = await page.evaluate(() =>
      ask((chunks) => chunks === 3 && faults.postMessage({ at: 1, gone: true })),
    );
    assert.equal(answer.text, expected);
    assert.deepEqual(await events(), ['lost', 'restored']);
    const info = await page.evaluate(() => near.model);
    assert.equal(info.backend.kind, 'cpu');
    assert.match(info.choice, /did not come back/);
    assert.equal((await page.evaluate(() => ask())).text, expected, 'the next question is answered too');
    assert.equal((await events()).length, 2, 'and nothing more was lost');
  });
});
