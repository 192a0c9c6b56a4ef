// What a caller sees of the Worker under the real runtime. The upstream is a stub and says so.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';

import { eventually, hello, ORIGIN, startWorker, TOKEN } from './launch.mjs';
import {
  answerError,
  answerWhole,
  beginStream,
  chunk,
  deferred,
  STUB_USAGE,
  STUB_WORDS,
  startStub,
} from './stub-upstream.mjs';

let stub;
let worker;

before(async () => {
  stub = await startStub();
  worker = await startWorker({ upstream: stub.url, model: 'model-of-the-test', limit: 1_000_000, 'max-body': 10_000 });
});

after(async () => {
  await worker?.stop();
  await stub?.close();
});

beforeEach(() => {
  stub.seen = [];
  stub.answer = answerWhole;
});

async function refused(response, status, code) {
  assert.equal(response.status, status);
  const { error } = await response.json();
  assert.deepEqual(Object.keys(error).sort(), ['code', 'message', 'param', 'type']);
  assert.equal(error.code, code);
  assert.ok(error.message.length > 10);
  return error;
}

test('a whole answer comes back as the upstream wrote it, with its cost', async () => {
  const response = await worker.chat(hello());
  assert.equal(response.status, 200);
  const answer = await response.json();
  assert.equal(answer.choices[0].message.content, STUB_WORDS.join(''));
  assert.deepEqual(answer.field_unknown_here, { kept: true });
  // 10 tokens read at 100 and 6 written at 400 microdollars for 1,000, rounded up.
  assert.equal(answer.usage.cost_microdollars, 4);
  assert.equal(response.headers.get('x-nearside-cost-microdollars'), '4');
});

test('the upstream gets its own key and model, never the caller’s token or the page’s own field', async () => {
  await (await worker.chat(hello({ model: 'another', nearside: { side: 'far' }, tools: [], seed: 7 }))).text();
  const [{ headers, body, path }] = stub.seen;
  assert.equal(path, '/v1/chat/completions');
  assert.equal(headers.authorization, 'Bearer key-of-the-upstream');
  assert.equal(body.model, 'model-of-the-test');
  assert.equal(body.nearside, undefined);
  assert.deepEqual([body.tools, body.seed], [[], 7]);
  assert.ok(!JSON.stringify(stub.seen).includes(TOKEN));
});

test('a stream is passed on piece by piece, before the upstream has ended', async () => {
  const more = deferred();
  stub.answer = async (_request, response) => {
    beginStream(response);
    response.write(chunk({ content: 'first' }));
    await more.promise;
    response.write(chunk({ content: 'second' }));
    response.end('data: [DONE]\n\n');
  };
  const response = await worker.chat(hello({ stream: true }));
  assert.match(response.headers.get('content-type'), /^text\/event-stream/);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const first = await reader.read();
  assert.match(first.value, /first/);
  more.resolve();
  let rest = '';
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    rest += piece.value;
  }
  assert.match(rest, /second/);
  assert.ok(rest.endsWith('data: [DONE]\n\n'));
});

test('usage comes in a stream only to those who asked, and then with the cost', async () => {
  const plain = await (await worker.chat(hello({ stream: true }))).text();
  assert.ok(!plain.includes('usage'), plain);
  assert.ok(stub.seen[0].body.stream_options.include_usage, 'the ledger needs it either way');
  const asked = await (await worker.chat(hello({ stream: true, stream_options: { include_usage: true } }))).text();
  const last = asked.split('\n\n').find((event) => event.includes('usage'));
  assert.deepEqual(JSON.parse(last.slice(6)).usage, { ...STUB_USAGE, cost_microdollars: 4 });
});

test('an event split anywhere by the network arrives whole', async () => {
  stub.answer = async (_request, response) => {
    beginStream(response);
    const bytes = Buffer.from(`${chunk({ content: 'é😀' })}data: [DONE]\n\n`);
    for (let at = 0; at < bytes.length; at += 7) {
      response.write(bytes.subarray(at, at + 7));
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    response.end();
  };
  const text = await (await worker.chat(hello({ stream: true }))).text();
  assert.equal(JSON.parse(text.split('\n\n')[0].slice(6)).choices[0].delta.content, 'é😀');
});

test('a caller without the right token is refused and nothing is sent', async () => {
  for (const authorization of [
    '',
    'Bearer wrong',
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.slice(1)}`,
    TOKEN,
    `Basic ${TOKEN}`,
  ]) {
    await refused(await worker.chat(hello(), { headers: { authorization } }), 401, 'invalid_token');
  }
  await refused(await fetch(`${worker.address}/v1/models`), 401, 'invalid_token');
  assert.equal(stub.seen.length, 0);
});

test('a page of a listed origin may call, one of another may not', async () => {
  const allowed = await worker.chat(hello(), { headers: { origin: ORIGIN } });
  assert.equal(allowed.status, 200);
  assert.equal(allowed.headers.get('access-control-allow-origin'), ORIGIN);
  assert.equal(allowed.headers.get('access-control-expose-headers'), 'x-nearside-cost-microdollars');
  assert.match(allowed.headers.get('vary'), /Origin/);
  await allowed.text();

  stub.seen = [];
  const other = await worker.chat(hello(), { headers: { origin: 'http://evil.test' } });
  assert.equal(other.headers.get('access-control-allow-origin'), null);
  await refused(other, 403, 'origin_refused');
  assert.equal(stub.seen.length, 0);

  const broken = await worker.chat('{', { headers: { origin: ORIGIN } });
  assert.equal(broken.headers.get('access-control-allow-origin'), ORIGIN, 'a page must be able to read errors too');
});

test('a preflight is answered without a token, for listed origins only', async () => {
  const preflight = (origin) =>
    fetch(`${worker.address}/v1/chat/completions`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
    });
  const allowed = await preflight(ORIGIN);
  assert.equal(allowed.status, 204);
  assert.equal(allowed.headers.get('access-control-allow-origin'), ORIGIN);
  assert.match(allowed.headers.get('access-control-allow-headers'), /authorization/);
  assert.match(allowed.headers.get('access-control-allow-methods'), /POST/);
  const other = await preflight('http://evil.test');
  assert.equal(other.status, 403);
  assert.equal(other.headers.get('access-control-allow-origin'), null);
});

test('what cannot be served is refused with the field at fault, and nothing is sent', async () => {
  await refused(await worker.chat('{"messages": ['), 400, 'malformed_request');
  await refused(await worker.chat(''), 400, 'malformed_request');
  assert.equal((await refused(await worker.chat({ messages: [] }), 400, 'invalid_field')).param, 'messages');
  assert.equal((await refused(await worker.chat(hello({ max_tokens: -1 })), 400, 'invalid_field')).param, 'max_tokens');
  assert.equal(
    (await refused(await worker.chat(hello({ max_tokens: 1e6 })), 400, 'invalid_field')).param,
    'max_tokens',
  );
  assert.equal(stub.seen.length, 0);
});

test('a body over the limit is refused, whether its length is declared or not', async () => {
  const large = JSON.stringify({ messages: [{ role: 'user', content: 'x'.repeat(20_000) }] });
  const error = await refused(await worker.chat(large), 413, 'body_too_large');
  assert.match(error.message, /10000/);
  const undeclared = await fetch(`${worker.address}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}` },
    body: new Blob([large]).stream(),
    duplex: 'half',
  });
  await refused(undeclared, 413, 'body_too_large');
  assert.equal(stub.seen.length, 0);
});

test('paths and methods that do not exist are named', async () => {
  const health = await fetch(`${worker.address}/healthz`);
  assert.deepEqual([health.status, await health.json()], [200, { status: 'ok' }]);
  const models = await fetch(`${worker.address}/v1/models`, { headers: { authorization: `Bearer ${TOKEN}` } });
  assert.equal((await models.json()).data[0].id, 'model-of-the-test');
  assert.match((await refused(await fetch(`${worker.address}/nothing`), 404, 'not_found')).message, /\/nothing/);
  await refused(await fetch(`${worker.address}/v1/chat/completions`), 405, 'method_refused');
});

test('errors of the upstream become the one shape, with what to do', async () => {
  stub.answer = answerError(400, 'the stub says the context is too long');
  assert.match((await refused(await worker.chat(hello()), 400, 'upstream_refused')).message, /context is too long/);
  stub.answer = answerError(401, 'wrong key: key-of-the-upstream');
  const key = await refused(await worker.chat(hello()), 502, 'upstream_failed');
  assert.match(key.message, /UPSTREAM_KEY/);
  assert.ok(!key.message.includes('key-of-the-upstream'));
  stub.answer = answerError(500, 'the stub fell over');
  assert.match(
    (await refused(await worker.chat(hello({ stream: true })), 502, 'upstream_failed')).message,
    /fell over/,
  );
  stub.answer = (_request, response) => {
    response.writeHead(302, { location: 'http://evil.test/' });
    response.end();
  };
  assert.match((await refused(await worker.chat(hello()), 502, 'upstream_failed')).message, /redirect/);
  stub.answer = (_request, response) => response.end('hello');
  assert.match((await refused(await worker.chat(hello()), 502, 'upstream_failed')).message, /not JSON/);
});

test('a stream that breaks off ends with one error event and no [DONE]', async () => {
  stub.answer = (_request, response) => {
    beginStream(response);
    response.write(chunk({ content: 'half' }));
    setTimeout(() => response.destroy(), 50);
  };
  const text = await (await worker.chat(hello({ stream: true }))).text();
  assert.match(text, /half/);
  assert.ok(!text.includes('[DONE]'), text);
  const events = text.trim().split('\n\n');
  assert.equal(JSON.parse(events.at(-1).slice(6)).error.code, 'upstream_failed');
});

test('a client that goes away in the middle of a stream ends the upstream’s work', async () => {
  const closed = deferred();
  stub.answer = (_request, response) => {
    beginStream(response);
    const timer = setInterval(() => response.write(chunk({ content: 'on and on' })), 20);
    response.on('close', () => {
      clearInterval(timer);
      closed.resolve();
    });
  };
  const control = new AbortController();
  const response = await worker.chat(hello({ stream: true }), { signal: control.signal });
  await response.body.getReader().read();
  control.abort();
  await Promise.race([
    closed.promise,
    new Promise((_, reject) => setTimeout(() => reject(new Error('the upstream still writes after 5 s')), 5000)),
  ]);
});

// Without a stream, a client that goes away early is told of only by Cloudflare's edge, which is not here.
test('a client that goes away before the stream begins ends the upstream’s work', async () => {
  const closed = deferred();
  stub.answer = (_request, response) => response.on('close', closed.resolve);
  const control = new AbortController();
  const response = await worker.chat(hello({ stream: true }), { signal: control.signal });
  assert.equal(response.status, 200);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  assert.match((await reader.read()).value, /^: .*still at work/, 'the client is not left waiting in silence');
  control.abort();
  await reader.read().catch(() => {});
  await Promise.race([
    closed.promise,
    new Promise((_, reject) => setTimeout(() => reject(new Error('the upstream still works after 10 s')), 10_000)),
  ]);
});

test('an upstream that fails late ends the stream with one error event', async () => {
  stub.answer = (...call) => setTimeout(() => answerError(500, 'the stub fell over late')(...call), 2500);
  const text = await (await worker.chat(hello({ stream: true }))).text();
  const { error } = JSON.parse(text.trim().split('\n\n').at(-1).slice(6));
  assert.equal(error.code, 'upstream_failed');
  assert.match(error.message, /fell over late/);
});

test('the log tells lengths and times and never a word of a conversation, a token or a key', async () => {
  const secret = 'a-word-that-must-not-be-logged';
  await (await worker.chat({ messages: [{ role: 'user', content: secret }], max_tokens: 16 })).text();
  await (await worker.chat(`{"messages": "${secret}"`)).text();
  await eventually(() => worker.log().includes('"messages":1'), 'a line in the log');
  for (const hidden of [secret, TOKEN, 'key-of-the-upstream', 'stub upstream']) {
    assert.ok(!worker.log().includes(hidden), `the log holds ${hidden}`);
  }
});
