// A stand-in for an upstream: an HTTP server that speaks just enough of the chat interface, and says that it is one.

import { createServer } from 'node:http';

export const STUB_WORDS = ['This', ' is', ' the', ' stub', ' upstream', '.'];
export const STUB_USAGE = { prompt_tokens: 10, completion_tokens: STUB_WORDS.length, total_tokens: 16 };

export function chunk(delta, finish = null, extra = {}) {
  const choices = delta ? [{ index: 0, delta, finish_reason: finish }] : [];
  return `data: ${JSON.stringify({ id: 'stub', object: 'chat.completion.chunk', created: 1, model: 'stub', choices, ...extra })}\n\n`;
}

/** A promise with its own handles. */
export function deferred() {
  const handles = {};
  handles.promise = new Promise((resolve) => {
    handles.resolve = resolve;
  });
  return handles;
}

/** Starts a stub. `answer(request, response, body)` may be replaced by each test; `seen` holds what came. */
export async function startStub() {
  const stub = { seen: [], answer: answerWhole };
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const piece of request) {
      text += piece;
    }
    const body = text ? JSON.parse(text) : null;
    stub.seen.push({ path: request.url, headers: request.headers, body });
    stub.answer(request, response, body);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  stub.url = `http://127.0.0.1:${server.address().port}/v1`;
  stub.close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return stub;
}

export function answerWhole(_request, response, body) {
  if (body?.stream) {
    beginStream(response);
    for (const word of STUB_WORDS) {
      response.write(chunk({ content: word }));
    }
    response.write(chunk({}, 'stop'));
    response.write(chunk(null, null, { usage: STUB_USAGE }));
    response.end('data: [DONE]\n\n');
    return;
  }
  response.setHeader('content-type', 'application/json');
  response.end(
    JSON.stringify({
      id: 'stub',
      object: 'chat.completion',
      created: 1,
      model: 'stub',
      choices: [{ index: 0, message: { role: 'assistant', content: STUB_WORDS.join('') }, finish_reason: 'stop' }],
      usage: STUB_USAGE,
      field_unknown_here: { kept: true },
    }),
  );
}

export function beginStream(response) {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
}

export function answerError(status, message) {
  return (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ error: { message, type: 'stub_error', code: null, param: null } }));
  };
}
