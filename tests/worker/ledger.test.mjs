// The spend limit, and an upstream that is not there or silent. The upstream is a stub and says so.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { eventually, hello, startWorker } from './launch.mjs';
import { answerWhole, beginStream, chunk, deferred, startStub } from './stub-upstream.mjs';

/** With a microdollar a token: what a template may add to conversation and message, role, text, and 16 to write. */
const PRICES = { 'price-input': 1000, 'price-output': 1000 };
const RESERVED = 64 + 16 + 4 + 5 + 16;

async function scene(options, run) {
  const stub = await startStub();
  const worker = await startWorker({ upstream: stub.url, ...PRICES, ...options });
  try {
    await run(worker, stub);
  } finally {
    await worker.stop();
    await stub.close();
  }
}

/** What each request costs in the end, when the stub counts like this. */
function costing(tokens) {
  return (request, response, body) => {
    response.setHeader('content-type', 'application/json');
    response.end(
      JSON.stringify({ choices: [], usage: { prompt_tokens: tokens, completion_tokens: 0, total_tokens: tokens } }),
    );
    assert.ok(request && body);
  };
}

test('twenty requests at once never pass the limit, and what is refused says how much is left', async () => {
  const limit = 7 * RESERVED + 5;
  await scene({ limit }, async (worker, stub) => {
    const hold = deferred();
    stub.answer = async (...call) => {
      await hold.promise;
      costing(RESERVED)(...call);
    };
    const sent = Array.from({ length: 20 }, () => worker.chat(hello()));
    await eventually(() => stub.seen.length === 7, 'seven requests reach the upstream');
    hold.resolve();
    const answers = await Promise.all(sent);
    const statuses = answers.map((answer) => answer.status).sort();
    assert.deepEqual(statuses, [...Array(7).fill(200), ...Array(13).fill(402)]);
    assert.equal(stub.seen.length, 7, 'the stub was called only as often as the limit pays for');
    const { error } = await answers.find((answer) => answer.status === 402).json();
    assert.equal(error.code, 'spend_limit');
    assert.match(error.message, new RegExp(`up to ${RESERVED} microdollars and 5 `));
  });
});

test('what a request did not use is given back, so cheap requests go on to the very limit', async () => {
  // One reservation and nine microdollars: each request that costs 1 leaves room until less than one reservation is left.
  await scene({ limit: RESERVED + 9 }, async (worker, stub) => {
    stub.answer = costing(1);
    let served = 0;
    for (let round = 0; round < 15; round += 1) {
      const response = await worker.chat(hello());
      await response.text();
      served += response.status === 200 ? 1 : 0;
      // Settling comes after the answer; the next request must not race it.
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.equal(served, 10);
  });
});

test('a refusal by the upstream costs nothing', async () => {
  await scene({ limit: RESERVED }, async (worker, stub) => {
    stub.answer = (_request, response) => {
      response.writeHead(500);
      response.end();
    };
    assert.equal((await worker.chat(hello())).status, 502);
    stub.answer = answerWhole;
    await eventually(async () => (await worker.chat(hello())).status === 200, 'the reservation is given back');
  });
});

test('a client that goes away pays for what came, and the rest is given back', async () => {
  // Input of at most 89 tokens and 20 bytes of answer: far less than the 1,089 that are reserved.
  await scene({ limit: 1250 }, async (worker, stub) => {
    stub.answer = (_request, response) => {
      beginStream(response);
      response.write(chunk({ content: 'twenty bytes of text' }));
    };
    const control = new AbortController();
    const response = await worker.chat(hello({ stream: true, max_tokens: 1000 }), { signal: control.signal });
    await response.body.getReader().read();
    control.abort();
    stub.answer = costing(1);
    await eventually(
      async () => (await worker.chat(hello({ max_tokens: 1000 }))).status === 200,
      'what was not used is given back',
      10_000,
    );
  });
});

test('the count survives a restart', async () => {
  const state = mkdtempSync(join(tmpdir(), 'nearside-ledger-'));
  try {
    await scene({ limit: 2 * RESERVED - 1, state }, async (worker, stub) => {
      stub.answer = costing(RESERVED);
      assert.equal((await worker.chat(hello())).status, 200);
    });
    await scene({ limit: 2 * RESERVED - 1, state }, async (worker, stub) => {
      assert.equal((await worker.chat(hello())).status, 402);
      assert.equal(stub.seen.length, 0);
    });
  } finally {
    rmSync(state, { recursive: true, force: true });
  }
});

test('an upstream that is not there is one clear error', async () => {
  const stub = await startStub();
  await stub.close();
  const worker = await startWorker({ upstream: stub.url });
  try {
    for (const stream of [false, true]) {
      const response = await worker.chat(hello({ stream }));
      assert.equal(response.status, 502);
      const { error } = await response.json();
      assert.equal(error.code, 'upstream_failed');
      assert.match(error.message, /UPSTREAM_URL/);
    }
  } finally {
    assert.equal(await worker.stop(), 0, 'Ctrl-C ends the launcher cleanly');
  }
});

test('an upstream that is silent is given up, before the answer and in the middle of it', async () => {
  await scene({ timeout: 1, limit: 1_000_000 }, async (worker, stub) => {
    const closed = deferred();
    stub.answer = (_request, response) => response.on('close', closed.resolve);
    const response = await worker.chat(hello());
    assert.equal(response.status, 504);
    assert.equal((await response.json()).error.code, 'upstream_timeout');
    await closed.promise;

    stub.answer = (_request, silent) => {
      beginStream(silent);
      silent.write(chunk({ content: 'and then' }));
    };
    const text = await (await worker.chat(hello({ stream: true }))).text();
    assert.equal(JSON.parse(text.trim().split('\n\n').at(-1).slice(6)).error.code, 'upstream_timeout');
  });
});
