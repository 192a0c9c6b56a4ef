// Runs the built Worker on this machine under workerd, the runtime that Cloudflare itself runs.
//
//   node worker/run-local.mjs --upstream http://127.0.0.1:8082/v1 --token demo --origins http://127.0.0.1:8080
//
// It prints `listening on http://127.0.0.1:N` when ready and ends with Ctrl-C.

import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** Each option, its default, and the variable of the Worker that it becomes. */
const OPTIONS = {
  port: { fallback: '0', meaning: 'port on 127.0.0.1; 0 picks a free one' },
  upstream: {
    variable: 'UPSTREAM_URL',
    meaning: 'base address of an OpenAI-compatible server, such as http://127.0.0.1:8082/v1',
  },
  model: { variable: 'UPSTREAM_MODEL', fallback: 'local', meaning: "the upstream's model" },
  timeout: { variable: 'UPSTREAM_TIMEOUT_SECONDS', fallback: '120', meaning: 'seconds the upstream may be silent' },
  origins: {
    variable: 'ALLOWED_ORIGINS',
    fallback: '',
    meaning: 'origins of pages that may call, separated by commas',
  },
  token: { variable: 'CLIENT_TOKEN', meaning: 'the bearer token that callers show' },
  limit: {
    variable: 'SPEND_LIMIT_MICRODOLLARS',
    fallback: '1000000',
    meaning: 'microdollars that may be spent in a day',
  },
  'price-input': {
    variable: 'PRICE_INPUT_MICRODOLLARS_PER_1K',
    fallback: '100',
    meaning: 'microdollars for 1,000 tokens read',
  },
  'price-output': {
    variable: 'PRICE_OUTPUT_MICRODOLLARS_PER_1K',
    fallback: '400',
    meaning: 'microdollars for 1,000 tokens written',
  },
  'max-body': { variable: 'MAX_BODY_BYTES', fallback: '1048576', meaning: 'bytes that a request may have' },
  'max-tokens': { variable: 'MAX_COMPLETION_TOKENS', fallback: '2048', meaning: 'tokens that an answer may have' },
  state: { fallback: '', meaning: 'folder where the ledger is kept; without it the ledger ends with the process' },
};

const folder = dirname(fileURLToPath(import.meta.url));

function fail(message) {
  console.error(`run-local: ${message}`);
  process.exit(1);
}

function readOptions() {
  const options = { help: { type: 'boolean' } };
  for (const [name, { fallback }] of Object.entries(OPTIONS)) {
    options[name] = { type: 'string', default: fallback };
  }
  let values;
  try {
    values = parseArgs({ options, strict: true }).values;
  } catch (error) {
    fail(error.message);
  }
  if (values.help) {
    console.log('node worker/run-local.mjs --upstream URL --token TOKEN [...]');
    console.log('The upstream key, if one is needed, is read from the environment variable UPSTREAM_KEY.\n');
    for (const [name, { fallback, meaning }] of Object.entries(OPTIONS)) {
      console.log(`  --${name.padEnd(14)}${meaning}${fallback ? ` (default ${fallback})` : ''}`);
    }
    process.exit(0);
  }
  for (const [name, { meaning }] of Object.entries(OPTIONS)) {
    if (values[name] === undefined) {
      fail(`--${name} is missing; it is ${meaning}`);
    }
  }
  return values;
}

/** workerd's configuration. The values stay in the environment, so no secret is written to the disk. */
function configuration(port, variables) {
  const bindings = [...variables, 'UPSTREAM_KEY'].map((name) => `(name = "${name}", fromEnvironment = "${name}")`);
  return `using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "nearside", worker = .nearside),
    (name = "internet", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true))),
    (name = "state", disk = (writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "nearside")],
);

const nearside :Workerd.Worker = (
  compatibilityDate = "2026-11-01",
  compatibilityFlags = ["enable_request_signal"],
  modules = [
    (name = "index.js", esModule = embed "index.js"),
    (name = "index_bg.wasm", wasm = embed "index_bg.wasm"),
  ],
  bindings = [
    ${bindings.join(',\n    ')},
    (name = "LEDGER", durableObjectNamespace = "SpendLedger"),
  ],
  durableObjectNamespaces = [(className = "SpendLedger", uniqueKey = "nearside-spend-ledger", enableSql = true)],
  durableObjectStorage = (localDisk = "state"),
);
`;
}

function workerdProgram() {
  try {
    return createRequire(import.meta.url)('workerd').default;
  } catch {
    return fail('the npm package `workerd` is not installed; run `npm ci` in the root of the project');
  }
}

const options = readOptions();
const program = workerdProgram();
const temporary = mkdtempSync(join(tmpdir(), 'nearside-worker-'));
const state = options.state ? resolve(options.state) : join(temporary, 'state');
mkdirSync(state, { recursive: true });
for (const name of ['index.js', 'index_bg.wasm']) {
  const built = join(folder, 'build', name);
  if (!existsSync(built)) {
    rmSync(temporary, { recursive: true, force: true });
    fail(`${built} is missing; build the Worker with \`cargo xtask build worker\``);
  }
  copyFileSync(built, join(temporary, name));
}

const environment = { PATH: process.env.PATH, UPSTREAM_KEY: process.env.UPSTREAM_KEY ?? '' };
for (const [name, { variable }] of Object.entries(OPTIONS)) {
  if (variable) {
    environment[variable] = options[name];
  }
}
const variables = Object.values(OPTIONS).flatMap(({ variable }) => variable ?? []);
writeFileSync(join(temporary, 'config.capnp'), configuration(options.port, variables), { mode: 0o600 });

const child = spawn(
  program,
  ['serve', '--control-fd=3', `--directory-path=state=${state}`, join(temporary, 'config.capnp')],
  { cwd: temporary, env: environment, stdio: ['ignore', 'inherit', 'inherit', 'pipe'] },
);
createInterface({ input: child.stdio[3] }).on('line', (line) => {
  const event = JSON.parse(line);
  if (event.event === 'listen') {
    console.log(`listening on http://127.0.0.1:${event.port}`);
  }
});

let asked = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    asked = true;
    child.kill('SIGTERM');
    // workerd waits for answers under way; someone who presses Ctrl-C does not.
    setTimeout(() => child.kill('SIGKILL'), 1000);
  });
}
child.on('error', (error) => {
  rmSync(temporary, { recursive: true, force: true });
  fail(`workerd did not start: ${error.message}`);
});
child.on('exit', (code, signal) => {
  rmSync(temporary, { recursive: true, force: true });
  process.exit(asked ? 0 : (code ?? (signal ? 1 : 0)));
});
