// Stands in for the Worker: it records what reaches it and streams a fixed answer. The real chain, workerd and a
// real upstream, is exercised by demo-check.mjs.
import { createServer } from 'node:http';

/** Starts a stand-in; `answer` is the text it streams, word by word. */
export async function farStub({ answer = 'This comes from the far side.', token = 'demo' } = {}) {
  const bodies = [];
  const state = { answer, fail: null, cut: false };
  const server = createServer(async (request, response) => {
    response.setHeader('Access-Control-Allow-Origin', request.headers.origin ?? '*');
    response.setHeader('Access-Control-Allow-Headers', 'authorization, content-type');
    response.setHeader('Cross-Origin-Resource-Policy', 'cross-origin');
    if (request.method === 'OPTIONS') {
      response.writeHead(204).end();
      return;
    }
    const pieces = await request.toArray();
    bodies.push(JSON.parse(Buffer.concat(pieces).toString()));
    if (state.fail || request.headers.authorization !== `Bearer ${token}`) {
      const status = state.fail ?? 401;
      const message = state.fail ? 'the far model could not answer: the upstream is down' : 'the client token is wrong';
      response
        .writeHead(status, { 'Content-Type': 'application/json' })
        .end(JSON.stringify({ error: { message, type: 'upstream_error', code: 'upstream_failed', param: null } }));
      return;
    }
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    const send = (fields) => response.write(`data: ${JSON.stringify({ ...frame, ...fields })}\n\n`);
    const frame = { id: 'chatcmpl-far', object: 'chat.completion.chunk', created: 1, model: 'stand-in' };
    for (const word of state.answer.split(/(?<= )/)) {
      send({ choices: [{ index: 0, delta: { content: word }, finish_reason: null }] });
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    if (state.cut) {
      response.destroy();
      return;
    }
    send({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] });
    send({ choices: [], usage: { prompt_tokens: 9, completion_tokens: 6, total_tokens: 15, cost_microdollars: 21 } });
    response.end('data: [DONE]\n\n');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  return {
    url,
    host: new URL(url).host,
    config: { url, token },
    /** The bodies that arrived, parsed. */
    bodies,
    /** `answer`, `fail` (a status) and `cut` may be changed at any time. */
    state,
    close: () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  };
}
