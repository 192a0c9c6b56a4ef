// What the tests stand on: folders of the checkout, model files, and the two sites.
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { serve } from './server.mjs';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const CACHE =
  process.env.NEARSIDE_CACHE || path.join(process.env.XDG_CACHE_HOME || path.join(homedir(), '.cache'), 'nearside');

export const SMALL_MODEL = 'SmolLM2-135M-Instruct.Q4_1.gguf';
export const PACKAGE = path.join(ROOT, 'web/package/dist');
export const DEMO = path.join(ROOT, 'web/demo/dist');
export const DOCS = path.join(ROOT, 'docs');

/** The path of a model file in the cache. */
export function modelFile(name) {
  return path.join(CACHE, 'models', name);
}

/** Why tests with that model cannot run, or `false`; says so in the words the test report counts. */
export function missing(...needs) {
  const absent = needs.find((need) => !existsSync(need));
  if (!absent) {
    return false;
  }
  const reason = `${absent} is not there; run cargo xtask setup and cargo xtask build`;
  console.error(`skipped: ${reason}`);
  return reason;
}

/** The SHA-256 of a file. */
export async function sha256(file) {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(file)) {
    hash.update(piece);
  }
  return hash.digest('hex');
}

/** A model as the package wants it, at a server that mounts the models' folder under /models/. */
export async function modelSpec(server, file) {
  return {
    id: path.basename(file),
    name: path.basename(file, '.gguf'),
    url: `${server.url}/models/${path.basename(file)}`,
    sha256: await sha256(file),
    bytes: statSync(file).size,
  };
}

/** A server with the package's files, an empty page and the models. */
export function servePackage({ routes = {}, mounts = [], ...options } = {}) {
  return serve({
    mounts: [...mounts, ['/package/', PACKAGE], ['/models/', path.join(CACHE, 'models')]],
    routes: { '/': '', '/blank.html': '<!doctype html><title>test</title>', '/favicon.ico': '', ...routes },
    ...options,
  });
}

/** The same, with lines that `prelude` gives run in the package's worker before its own. */
export function servePackageWith(prelude, routes = {}) {
  const worker = readFileSync(`${PACKAGE}/worker.js`, 'utf8');
  const answer = (_request, response) =>
    response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(`${prelude()}\n${worker}`);
  return servePackage({ routes: { ...routes, '/package/worker.js': answer } });
}

/** A server with the built demo, configured for these models and this Worker. */
export async function serveDemo({ models, worker = null }) {
  const config = { models: [], worker };
  const server = await serve({
    mounts: [
      ['/', DEMO],
      ['/models/', path.join(CACHE, 'models')],
    ],
    routes: {
      '/nearside.json': (_request, response) =>
        response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(config)),
      '/favicon.ico': '',
    },
  });
  config.models = await Promise.all(models.map((file) => modelSpec(server, file)));
  return Object.assign(server, { config });
}
