// Bad files and bare pages: one clear error each, and the page goes on.
import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { CHROMIUM, launch } from './support/browser.mjs';
import { missing, modelFile, modelSpec, PACKAGE, SMALL_MODEL, servePackage } from './support/fixtures.mjs';
import { openPackage } from './support/page.mjs';

const MODEL = modelFile(SMALL_MODEL);
const QUESTION = [{ role: 'user', content: 'What is the capital of France? Answer with one word.' }];
const skip = missing(CHROMIUM, `${PACKAGE}/wasm`, MODEL);

async function beginning(file, bytes) {
  const handle = await open(file);
  const buffer = Buffer.alloc(bytes);
  await handle.read(buffer, 0, bytes, 0);
  await handle.close();
  return buffer;
}

describe('bad input', { skip }, () => {
  let server;
  let bare;
  let browser;

  before(async () => {
    const routes = {
      '/truncated.gguf': await beginning(MODEL, 8 << 20),
      '/header.gguf': await beginning(MODEL, 1000),
      '/empty.gguf': '',
      '/text.gguf': 'This is a shopping list: bread, milk, eggs.\n'.repeat(50),
    };
    server = await servePackage({ routes });
    bare = await servePackage({ isolated: false });
    // Without the switch there is no adapter, as in a browser without WebGPU.
    browser = await launch({ webgpu: false });
  });
  after(async () => {
    await browser?.close();
    await server?.close();
    await bare?.close();
  });

  test('a truncated, an empty and a text file each give one clear error, and a good file still loads', async () => {
    const page = await openPackage(browser, server);
    for (const [name, pattern] of [
      ['truncated.gguf', /truncated|beyond the end/],
      ['header.gguf', /truncated|beyond the end/],
      ['empty.gguf', /empty|0 bytes|beyond the end/],
      ['text.gguf', /not a GGUF|magic/i],
    ]) {
      const { error } = await page.evaluate(async (name) => {
        const blob = await (await fetch(`/${name}`)).blob();
        return attempt(() => nearside.Nearside.load({ model: new File([blob], name), backend: 'cpu' }));
      }, name);
      assert.equal(error?.name, 'NearsideError', name);
      assert.equal(error.code, 'model_invalid', `${name}: ${error.message}`);
      assert.match(error.message, pattern, name);
    }
    const answer = await page.evaluate(
      async ([name, messages]) => {
        const blob = await (await fetch(`/models/${name}`)).blob();
        const near = await nearside.Nearside.load({ model: new File([blob], name), backend: 'cpu' });
        const { choices, model } = await near.chat.completions.create({ messages, temperature: 0, max_tokens: 10 });
        near.unload();
        return { text: choices[0].message.content, model };
      },
      [SMALL_MODEL, QUESTION],
    );
    assert.match(answer.text, /Paris/);
    assert.equal(answer.model, SMALL_MODEL);
    await page.close();
  });

  test('a forced GPU without WebGPU is one clear error; automatic choice takes the CPU', async () => {
    const page = await openPackage(browser, server);
    const model = await modelSpec(server, MODEL);
    const { error } = await page.evaluate(
      (model) => attempt(() => nearside.Nearside.load({ model, backend: 'gpu' })),
      model,
    );
    assert.equal(error?.code, 'webgpu_unavailable', JSON.stringify(error));
    assert.match(error.message, /CPU|cpu/);
    const info = await page.evaluate(async (model) => {
      const near = await nearside.Nearside.load({ model });
      near.unload();
      return near.model;
    }, model);
    assert.equal(info.backend.kind, 'cpu');
    assert.match(info.choice, /GPU/);
    await page.close();
  });

  test('a page without isolation headers is told so and still answers', async () => {
    const page = await openPackage(browser, bare);
    const model = await modelSpec(bare, MODEL);
    const result = await page.evaluate(
      async ([model, messages]) => {
        const near = await nearside.Nearside.load({ model, backend: 'cpu' });
        const { choices } = await near.chat.completions.create({ messages, temperature: 0, max_tokens: 10 });
        near.unload();
        return { environment: near.environment, text: choices[0].message.content };
      },
      [model, QUESTION],
    );
    assert.equal(result.environment.isolated, false);
    assert.match(result.environment.notices.join(' '), /Cross-Origin-Opener-Policy/);
    assert.match(result.text, /Paris/);
    await page.close();
  });

  test('loading can be called off', async () => {
    const page = await openPackage(browser, server);
    const model = await modelSpec(server, MODEL);
    const { error } = await page.evaluate(async (model) => {
      const controller = new AbortController();
      const onProgress = ({ phase }) => phase === 'load' && controller.abort();
      return attempt(() => nearside.Nearside.load({ model, backend: 'cpu', onProgress, signal: controller.signal }));
    }, model);
    assert.equal(error?.code, 'aborted');
    await page.close();
  });
});
