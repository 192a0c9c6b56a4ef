// Starts the built Worker by its own launcher, as `cargo xtask demo` does.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const WORKER = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'worker');
export const TOKEN = 'token-of-the-tests';
export const ORIGIN = 'http://page.test';

export async function startWorker(options) {
  if (!existsSync(join(WORKER, 'build', 'index_bg.wasm'))) {
    throw new Error('the Worker is not built; run `cargo xtask build worker` first');
  }
  const given = { token: TOKEN, origins: `http://other.test, ${ORIGIN}`, ...options };
  const flags = Object.entries(given).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = spawn(process.execPath, [join(WORKER, 'run-local.mjs'), ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, UPSTREAM_KEY: 'key-of-the-upstream' },
  });
  let log = '';
  const ended = new Promise((resolve) => child.on('exit', (code) => resolve(code)));
  child.stderr.on('data', (piece) => {
    log += piece;
  });
  const address = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      log += `${line}\n`;
      const found = line.match(/^listening on (http:\/\/127\.0\.0\.1:\d+)$/);
      if (found) {
        resolve(found[1]);
      }
    });
    ended.then((code) => reject(new Error(`the Worker ended with ${code} before it listened:\n${log}`)));
  });
  return {
    address,
    log: () => log,
    async stop() {
      child.kill('SIGINT');
      return await ended;
    },
    /** A chat request with the right token, unless headers say otherwise. */
    chat(body, { headers = {}, signal } = {}) {
      return fetch(`${address}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json', ...headers },
        body: typeof body === 'string' ? body : JSON.stringify(body),
        signal,
      });
    },
  };
}

export function hello(more = {}) {
  return { messages: [{ role: 'user', content: 'Hello' }], max_tokens: 16, ...more };
}

/** Waits until a condition holds. */
export async function eventually(condition, what, milliseconds = 5000) {
  const end = Date.now() + milliseconds;
  while (!(await condition())) {
    if (Date.now() > end) {
      throw new Error(`not within ${milliseconds} ms: ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
