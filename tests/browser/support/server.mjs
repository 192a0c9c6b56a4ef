// A static server for tests: byte ranges, isolation headers, faults on demand, and a record of what was asked.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';

const TYPES = {
  '.css': 'text/css',
  '.gguf': 'application/octet-stream',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json',
};

/**
 * Serves `mounts`, a list of [address prefix, folder or file], and `routes`, an object from exact address to body
 * (text, bytes) or handler. The longest prefix wins.
 */
export async function serve({ mounts = [], routes = {}, isolated = true, ranges = true } = {}) {
  const state = { log: [], cutAfter: new Map(), ranges };
  const ordered = [...mounts].sort(([left], [right]) => right.length - left.length);

  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    const entry = { method: request.method, path: pathname, range: request.headers.range ?? null, sent: 0 };
    state.log.push(entry);
    response.setHeader('Cache-Control', 'no-store');
    if (isolated) {
      response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
      response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
      response.setHeader('Cross-Origin-Resource-Policy', 'same-origin');
    }
    const route = routes[pathname];
    if (typeof route === 'function') {
      await route(request, response);
    } else if (route !== undefined) {
      const body = Buffer.from(route);
      response.setHeader('Content-Type', TYPES[path.extname(pathname)] ?? 'application/octet-stream');
      sendBody(request, response, entry, state, body.length, (start, end) => [body.subarray(start, end + 1)]);
    } else {
      await sendFile(request, response, entry, state, findFile(ordered, pathname));
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    /** Every request so far: method, path, range, bytes sent. */
    log: state.log,
    /** Breaks the next answer to `address` off after `bytes` bytes. */
    cut: (address, bytes) => state.cutAfter.set(address, bytes),
    /** Turns byte ranges on or off. */
    setRanges: (on) => {
      state.ranges = on;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  };
}

function findFile(mounts, pathname) {
  for (const [prefix, target] of mounts) {
    if (pathname.startsWith(prefix)) {
      const rest = decodeURIComponent(pathname.slice(prefix.length));
      const file = path.join(target, rest === '' && prefix.endsWith('/') ? 'index.html' : rest);
      return file.startsWith(target) ? file : null;
    }
  }
  return null;
}

async function sendFile(request, response, entry, state, file) {
  const found = file && (await stat(file).catch(() => null));
  if (!found?.isFile()) {
    response.writeHead(404, { 'Content-Type': 'text/plain' }).end('not found');
    return;
  }
  response.setHeader('Content-Type', TYPES[path.extname(file)] ?? 'application/octet-stream');
  sendBody(request, response, entry, state, found.size, (start, end) => createReadStream(file, { start, end }));
}

async function sendBody(request, response, entry, state, size, read) {
  let start = 0;
  let end = size - 1;
  const asked = state.ranges ? /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') : null;
  if (state.ranges) {
    response.setHeader('Accept-Ranges', 'bytes');
  }
  if (asked) {
    start = Number(asked[1]);
    end = asked[2] ? Math.min(Number(asked[2]), end) : end;
    if (start > end) {
      response.writeHead(416, { 'Content-Range': `bytes */${size}` }).end();
      return;
    }
    response.setHeader('Content-Range', `bytes ${start}-${end}/${size}`);
  }
  response.writeHead(asked ? 206 : 200, { 'Content-Length': end - start + 1 });
  if (request.method === 'HEAD' || size === 0) {
    response.end();
    return;
  }
  const limit = state.cutAfter.get(entry.path) ?? Number.POSITIVE_INFINITY;
  state.cutAfter.delete(entry.path);
  for await (const piece of read(start, end)) {
    const allowed = piece.subarray(0, limit - entry.sent);
    entry.sent += allowed.length;
    if (!response.write(allowed)) {
      await drained(response);
    }
    if (response.destroyed) {
      return;
    }
    if (entry.sent >= limit) {
      // Long enough for what was written to reach the page before the connection breaks.
      setTimeout(() => response.destroy(), 200);
      return;
    }
  }
  response.end();
}

/** Waits until more can be written, or until nobody is there to read it. */
function drained(response) {
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}
