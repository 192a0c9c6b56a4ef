// Several conversations with one model, and answers that quote what stood there before.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CHROMIUM, launch } from './support/browser.mjs';
import { missing, modelFile, modelSpec, PACKAGE, SMALL_MODEL, servePackage } from './support/fixtures.mjs';
import { openPackage } from './support/page.mjs';

const MODEL = modelFile(SMALL_MODEL);
const skip = missing(CHROMIUM, `${PACKAGE}/wasm`, MODEL);
const TEXT = 'The quick brown fox jumps over the lazy dog. Pack my box with five dozen liquor jugs.';

describe('conversations', { skip }, () => {
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
      ([model, options]) =>
        attempt(async () => {
          window.near?.unload();
          window.near = await nearside.Nearside.load({ model, backend: 'cpu', ...options });
        }),
      [model, options],
    );
  const complete = async (messages, max_tokens = 6) => {
    const { value, error } = await page.evaluate((request) => attempt(() => near.chat.completions.create(request)), {
      messages,
      temperature: 0,
      max_tokens,
    });
    assert.equal(error, undefined, error?.message);
    return value;
  };

  test('two in turn read only what is new in them, unless only one is kept', async () => {
    for (const [options, kept] of [
      [{}, true],
      [{ conversations: 1 }, false],
      [{ conversationBytes: 0 }, false],
    ]) {
      await load(options);
      const both = ['Name a colour, please.', 'How many legs does a spider have?'].map((content) => ({
        messages: [{ role: 'user', content }],
        tokens: 0,
      }));
      for (let round = 0; round < 2; round++) {
        for (const conversation of both) {
          const { choices, usage } = await complete(conversation.messages);
          const { cached_tokens: cached } = usage.prompt_tokens_details;
          if (round > 0) {
            assert.equal(cached >= conversation.tokens, kept, `${JSON.stringify(options)}: ${JSON.stringify(usage)}`);
          }
          conversation.tokens = usage.prompt_tokens;
          conversation.messages.push(choices[0].message, { role: 'user', content: 'And one more?' });
        }
      }
    }
  });

  test('limits that make no sense are refused', async () => {
    for (const options of [{ conversations: -1 }, { conversationBytes: 0.5 }]) {
      const { error } = await load(options);
      assert.equal(error?.code, 'invalid_request');
      assert.match(error.message, new RegExp(Object.keys(options)[0]));
    }
  });

  test('tokens that are foreseen change no answer, and are counted', async () => {
    const messages = [{ role: 'user', content: `Repeat this text twice, word for word: "${TEXT}"` }];
    await load({});
    const plain = await complete(messages, 48);
    assert.equal(plain.usage.completion_tokens_details, undefined);
    await load({ speculation: 'lookup' });
    const quick = await complete(messages, 48);
    assert.equal(quick.choices[0].message.content, plain.choices[0].message.content);
    const { accepted_prediction_tokens: accepted } = quick.usage.completion_tokens_details;
    assert.ok(accepted > 4, JSON.stringify([quick.usage, plain.choices[0].message.content]));
  });
});
