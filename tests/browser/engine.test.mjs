// The engine in the page: both backends, the choice between them, and an answer that is called off.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CHROMIUM, launch } from './support/browser.mjs';
import { missing, modelFile, modelSpec, PACKAGE, SMALL_MODEL, servePackage } from './support/fixtures.mjs';
import { openPackage } from './support/page.mjs';

const MODEL = modelFile(SMALL_MODEL);
const skip = missing(CHROMIUM, `${PACKAGE}/wasm`, MODEL);
// On this question the small model is sure of every token, so rounding cannot turn its answer.
const QUESTION = [{ role: 'user', content: 'What is the capital of France? Answer with one word.' }];

describe('engine', { skip }, () => {
  let server;
  let browser;
  let page;
  let model;

  before(async () => {
    server = await servePackage();
    model = await modelSpec(server, MODEL);
    browser = await launch();
    page = await openPackage(browser, server);
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  const load = (backend, gpuWithout = []) =>
    page.evaluate(
      async ([model, backend, gpuWithout]) => {
        window.near?.unload();
        window.phases = new Set();
        const onProgress = ({ phase }) => phases.add(phase);
        window.near = await nearside.Nearside.load({ model, backend, gpuWithout, onProgress });
        return near.model;
      },
      [model, backend, gpuWithout],
    );
  const complete = (request) =>
    page.evaluate((request) => attempt(() => near.chat.completions.create(request)), request);

  test('answers on the CPU, streamed', async () => {
    const info = await load('cpu');
    assert.equal(info.backend.kind, 'cpu');
    assert.equal(info.architecture, 'llama');
    assert.deepEqual(await page.evaluate(() => [...phases]), ['download', 'load']);
    const answer = await page.evaluate(
      async (messages) =>
        listen(await near.chat.completions.create({ messages, stream: true, temperature: 0, max_tokens: 12 })),
      QUESTION,
    );
    assert.match(answer.text, /Paris/);
    assert.ok(answer.chunks > 3, `${answer.chunks} chunks`);
    assert.equal(answer.note.side, 'near');
    assert.ok(answer.note.timings.completion_tokens_per_second > 0);
    assert.ok(answer.usage.completion_tokens > 0);
  });

  test('gives a completion in OpenAI’s shape, with log probabilities', async () => {
    const { value } = await complete({
      messages: QUESTION,
      temperature: 0,
      max_tokens: 4,
      logprobs: true,
      top_logprobs: 2,
    });
    assert.equal(value.object, 'chat.completion');
    assert.equal(value.choices[0].finish_reason, 'length');
    assert.equal(value.usage.completion_tokens, 4);
    const { content } = value.choices[0].logprobs;
    assert.equal(content.length, 4);
    assert.ok(content.every(({ logprob, top_logprobs }) => logprob <= 0 && top_logprobs.length === 2));
  });

  test('the same seed gives the same answer, and a stop string ends it', async () => {
    const request = { messages: QUESTION, temperature: 1, seed: 7, max_tokens: 16 };
    const first = await complete(request);
    const second = await complete(request);
    assert.equal(first.value.choices[0].message.content, second.value.choices[0].message.content);
    const stopped = await complete({ messages: QUESTION, temperature: 0, max_tokens: 32, stop: ['Paris'] });
    assert.equal(stopped.value.choices[0].finish_reason, 'stop');
    assert.doesNotMatch(stopped.value.choices[0].message.content, /Paris/);
  });

  test('the next turn reuses what the session holds', async () => {
    const first = await complete({ messages: QUESTION, temperature: 0, max_tokens: 12 });
    const messages = [...QUESTION, first.value.choices[0].message, { role: 'user', content: 'And of Spain?' }];
    const { value } = await complete({ messages, temperature: 0, max_tokens: 8 });
    assert.ok(value.nearside.timings.reused_tokens >= first.value.usage.prompt_tokens, JSON.stringify(value.nearside));
  });

  test('an abort in mid-answer stops it, and the next answer comes', async () => {
    const result = await page.evaluate(
      async (messages) => {
        const controller = new AbortController();
        let seen = 0;
        const outcome = await attempt(async () => {
          const request = { messages, stream: true, max_tokens: 400, temperature: 0 };
          const stream = await near.chat.completions.create(request, { signal: controller.signal });
          await listen(stream, () => ++seen === 3 && controller.abort());
        });
        return { ...outcome, seen };
      },
      [{ role: 'user', content: 'Tell me a very long story.' }],
    );
    assert.equal(result.error?.code, 'aborted');
    assert.ok(result.seen < 40, `${result.seen} chunks came`);
    const { value } = await complete({ messages: QUESTION, temperature: 0, max_tokens: 12 });
    assert.match(value.choices[0].message.content, /Paris/);
  });

  test('leaving the loop early stops the answer', async () => {
    const first = await page.evaluate(async (messages) => {
      for await (const chunk of await near.chat.completions.create({ messages, stream: true, max_tokens: 400 })) {
        if (chunk.choices[0]?.delta.content) {
          return chunk.choices[0].delta.content;
        }
      }
    }, QUESTION);
    assert.ok(first);
    const { value } = await complete({ messages: QUESTION, temperature: 0, max_tokens: 12 });
    assert.match(value.choices[0].message.content, /Paris/);
  });

  test('a request that is wrong names its field, and the engine goes on', async () => {
    for (const [request, pattern] of [
      [{ messages: [] }, /messages/],
      [{ messages: QUESTION, temperature: -1 }, /temperature/],
      [{ messages: [{ role: 'user', content: 'word '.repeat(20_000) }], nearside: { mode: 'near-only' } }, /tokens/],
    ]) {
      const { error } = await complete(request);
      assert.ok(['invalid_request', 'context_full'].includes(error?.code), JSON.stringify(error));
      assert.match(error.message, pattern);
    }
  });

  test('a decision can be had without an answer', async () => {
    const decision = await page.evaluate((messages) => near.decide({ messages, temperature: 0 }), QUESTION);
    assert.equal(decision.side, 'near');
    assert.ok(decision.score >= 0 && decision.score <= 1);
  });

  test('what a file says about itself can be read without loading it', async () => {
    const inspection = await page.evaluate((model) => nearside.models.inspect(model), model);
    assert.equal(inspection.architecture, 'llama');
    assert.ok(inspection.tensors.length > 100);
  });

  test('automatic choice takes the CPU where the only adapter is software', async () => {
    const info = await load('auto');
    assert.equal(info.backend.kind, 'cpu');
    assert.match(info.choice, /software/);
  });

  test('the forced GPU gives the same greedy tokens as the CPU, with subgroups and without, in little wasm memory', {
    timeout: 600_000,
  }, async () => {
    const request = { messages: QUESTION, temperature: 0, max_tokens: 6 };
    const cpu = await complete(request);
    const offered = await page.evaluate(async () => {
      const adapter = await navigator.gpu.requestAdapter();
      return adapter.features.has('subgroups') && navigator.gpu.wgslLanguageFeatures.has('subgroup_id');
    });
    if (!offered) {
      console.error('skipped: this browser offers no subgroups here, so only what works without them is tested');
    }
    for (const gpuWithout of [[], ['subgroups', 'shader-f16']]) {
      const info = await load('gpu', gpuWithout);
      assert.equal(info.backend.kind, 'gpu');
      const used = offered && gpuWithout.length === 0;
      assert.equal(info.backend.features.includes('subgroups'), used, `${info.backend.features}`);
      assert.ok(info.memoryBytes < 128 << 20, `${(info.memoryBytes / 2 ** 20).toFixed(1)} MiB of wasm memory`);
      const gpu = await complete(request);
      assert.equal(gpu.error, undefined);
      assert.equal(gpu.value.choices[0].message.content, cpu.value.choices[0].message.content);
    }
    await page.evaluate(() => near.unload());
  });

  test('an unloaded engine says so', async () => {
    const { error } = await complete({ messages: QUESTION });
    assert.equal(error?.code, 'aborted');
    assert.match(error.message, /unloaded/);
  });
});
