// What a conversation holds and what is made of texts beside it: full contexts, caches in eight bits, embeddings.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CHROMIUM, launch } from './support/browser.mjs';
import { missing, modelFile, modelSpec, PACKAGE, SMALL_MODEL, servePackage } from './support/fixtures.mjs';
import { openPackage } from './support/page.mjs';

const MODEL = modelFile(SMALL_MODEL);
const skip = missing(CHROMIUM, `${PACKAGE}/wasm`, MODEL);
const QUESTION = [{ role: 'user', content: 'What is the capital of France? Answer with one word.' }];

describe('contexts and embeddings', { skip }, () => {
  let server;
  let browser;
  let page;
  let model;

  before(async () => {
    server = await servePackage();
    browser = await launch({ webgpu: false });
    page = await openPackage(browser, server);
    model = await modelSpec(server, MODEL);
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  const load = (options) =>
    page.evaluate(
      async ([model, options]) => {
        window.near?.unload();
        window.near = await nearside.Nearside.load({ model, backend: 'cpu', ...options });
        return near.model;
      },
      [model, options],
    );
  const complete = (messages) =>
    page.evaluate(
      (messages) => attempt(() => near.chat.completions.create({ messages, temperature: 0, max_tokens: 16 })),
      messages,
    );

  test('a cache in eight bits answers the same', async () => {
    await load({ cache: 'q8_0' });
    const { value } = await complete(QUESTION);
    assert.match(value.choices[0].message.content, /Paris/);
  });

  test('a conversation that outgrows its context is refused, or slides when it may', async () => {
    const long = [];
    for (let turn = 0; turn < 12; turn++) {
      long.push({ role: 'user', content: `Tell me one thing about the number ${turn}, in a few words, please.` });
      long.push({ role: 'assistant', content: `The number ${turn} comes right before the number ${turn + 1}.` });
    }
    const info = await load({ context: 160, whenFull: 'stop' });
    assert.equal(info.context, 160);
    const refused = await complete([...long, ...QUESTION]);
    assert.equal(refused.error?.code, 'context_full');
    await load({ context: 160, whenFull: 'slide' });
    const { value, error } = await complete([...long, ...QUESTION]);
    assert.equal(error, undefined, error?.message);
    assert.match(value.choices[0].message.content, /Paris/);
  });

  test('texts become vectors of length 1, nearer to each other where they mean the same', async () => {
    await load({});
    const list = await page.evaluate(() =>
      near.embeddings.create({
        input: [
          'The cat sleeps on the warm sofa.',
          'A kitten is napping on the couch.',
          'Parliament passed the new tax law.',
        ],
      }),
    );
    assert.equal(list.object, 'list');
    assert.ok(list.usage.prompt_tokens > 15);
    const vectors = list.data.map(({ embedding }) => embedding);
    const dot = (left, right) => left.reduce((sum, value, index) => sum + value * right[index], 0);
    for (const vector of vectors) {
      assert.ok(Math.abs(dot(vector, vector) - 1) < 1e-3, 'it has length 1');
    }
    assert.ok(dot(vectors[0], vectors[1]) > dot(vectors[0], vectors[2]), 'cats are nearer to kittens than to taxes');

    const { error } = await page.evaluate(() => attempt(() => near.embeddings.create({ input: [] })));
    assert.equal(error?.code, 'invalid_request');
    assert.match(error.message, /input/);
    const { value } = await complete(QUESTION);
    assert.match(value.choices[0].message.content, /Paris/, 'the conversation goes on');
  });
});
