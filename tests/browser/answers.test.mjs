// What an answer can be made to be: several, of a form, a call of a tool, spoken without some words.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CHROMIUM, launch } from './support/browser.mjs';
import { missing, modelFile, modelSpec, PACKAGE, SMALL_MODEL, servePackage } from './support/fixtures.mjs';
import { openPackage } from './support/page.mjs';

const MODEL = modelFile(SMALL_MODEL);
const skip = missing(CHROMIUM, `${PACKAGE}/wasm`, MODEL);
const QUESTION = [{ role: 'user', content: 'What is the capital of France? Answer with one word.' }];

describe('answers', { skip }, () => {
  let server;
  let browser;
  let page;

  before(async () => {
    server = await servePackage();
    browser = await launch({ webgpu: false });
    page = await openPackage(browser, server);
    await page.evaluate(
      async (model) => {
        window.near = await nearside.Nearside.load({ model, backend: 'cpu' });
      },
      await modelSpec(server, MODEL),
    );
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  const complete = (request) =>
    page.evaluate((request) => attempt(() => near.chat.completions.create(request)), {
      messages: QUESTION,
      ...request,
    });

  test('several answers come one after the other, each by a seed of its own, and are counted together', async () => {
    const request = { n: 3, temperature: 1.5, top_p: 1, seed: 5, max_tokens: 12 };
    const { value, error } = await complete(request);
    assert.equal(error, undefined, JSON.stringify(error));
    assert.deepEqual(
      value.choices.map(({ index }) => index),
      [0, 1, 2],
    );
    const texts = value.choices.map(({ message }) => message.content);
    assert.ok(new Set(texts).size > 1, JSON.stringify(texts));
    assert.ok(value.usage.completion_tokens > 12, JSON.stringify(value.usage));
    const alone = await complete({ ...request, n: 1 });
    assert.equal(alone.value.choices[0].message.content, texts[0], 'the first is what one alone would have been');
  });

  test('a schema is kept to', async () => {
    const schema = {
      type: 'object',
      properties: { city: { type: 'string', maxLength: 20 }, capital: { type: 'boolean' } },
      required: ['city', 'capital'],
      additionalProperties: false,
    };
    const { value, error } = await complete({
      response_format: { type: 'json_schema', json_schema: { name: 'answer', schema, strict: true } },
      temperature: 0,
      max_tokens: 60,
    });
    assert.equal(error, undefined, JSON.stringify(error));
    const said = JSON.parse(value.choices[0].message.content);
    assert.equal(typeof said.city, 'string');
    assert.equal(typeof said.capital, 'boolean');
    assert.equal(Object.keys(said).length, 2);
  });

  test('a tool that must be called is called with arguments of its schema', async () => {
    const parameters = {
      type: 'object',
      properties: { city: { type: 'string', maxLength: 20 } },
      required: ['city'],
      additionalProperties: false,
    };
    const { value, error } = await complete({
      tools: [{ type: 'function', function: { name: 'look_up', description: 'Looks a city up.', parameters } }],
      tool_choice: { type: 'function', function: { name: 'look_up' } },
      temperature: 0,
      max_tokens: 80,
    });
    assert.equal(error, undefined, JSON.stringify(error));
    assert.equal(value.choices[0].finish_reason, 'tool_calls');
    const [call] = value.choices[0].message.tool_calls;
    assert.equal(call.function.name, 'look_up');
    assert.equal(typeof JSON.parse(call.function.arguments).city, 'string');
  });

  test('a schema that makes no sense names its field', async () => {
    const { error } = await complete({
      response_format: { type: 'json_schema', json_schema: { name: 'answer', schema: { type: 'unheard of' } } },
    });
    assert.equal(error?.code, 'invalid_request', JSON.stringify(error));
    assert.match(error.message, /response_format/);
  });
});
