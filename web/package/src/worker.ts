// The dedicated worker: the wasm module lives here, and so does all that could block the page.
import { download } from './download.js';
import { abortedError, describeError, type ErrorCode, NearsideError } from './errors.js';
import { cross, destinationOf } from './far.js';
import { findFile, modelDirectory, openSync } from './opfs.js';
import type { FromWorker, Method, Methods, ToWorker } from './protocol.js';
import { spent } from './receipts.js';
import { fileNames, hashOf } from './store.js';
import type { ConsentRequest, Decision, FarConfig, ModelSpec, Policy } from './types.js';
import init, { Crossing, Engine, inspect, memoryBytes, type Route, Source } from './wasm/simd/nearside.js';

/** What a running call can use. */
interface Running<M extends Method> {
  emit: (event: Methods[M]['event']) => void;
  ask: (request: ConsentRequest) => Promise<boolean>;
  signal: AbortSignal;
}

type Handlers = { [M in Method]: (params: Methods[M]['params'], call: Running<M>) => Promise<Methods[M]['result']> };

const scope = self as unknown as {
  postMessage(message: FromWorker): void;
  onmessage: (event: MessageEvent<ToWorker>) => void;
};
const ready = init();
// Whoever calls first learns of a module that will not start; nobody else needs to hear of it.
ready.catch(() => {});

let engine: Engine | null = null;
let modelId = '';
/** The engine answers one request at a time. */
let turn: Promise<unknown> = Promise.resolve();

const handlers: Handlers = {
  async download({ model }, { emit, signal }) {
    await download(model, emit, signal);
    return null;
  },

  async inspect({ model }) {
    return withSource(model, (source) => {
      const found = inspect(source);
      source.free();
      return Promise.resolve(found);
    });
  },

  async load({ model, backend, context }, { emit, signal }) {
    if (!(model instanceof Blob)) {
      await download(model, emit, signal);
    }
    return withSource(model, async (source) => {
      const started = performance.now();
      engine = await Engine.load(source, { backend, context }, (done, total) => emit({ phase: 'load', done, total }));
      modelId = model instanceof Blob ? (model instanceof File ? model.name : 'local') : (model.id ?? model.sha256);
      return { ...engine.info(), id: modelId, loadMs: performance.now() - started, memoryBytes: memoryBytes() };
    });
  },

  async decide({ request, policy, far }, { signal }) {
    const route = await routeOf(policy, far, 'not-asked');
    return inTurn(signal, (loaded) => loaded.decide(request, route, () => pause(signal)));
  },

  async chat({ request, policy, far }, { emit, ask, signal }) {
    const answer = async (consent: Route['situation']['consent']) => {
      const route = await routeOf(policy, far, consent);
      return inTurn(signal, (loaded) =>
        loaded.chat(request, route, modelId, (chunk) => {
          if (chunk) {
            emit(chunk);
          }
          return pause(signal);
        }),
      );
    };
    const outcome = await answer('not-asked');
    if (outcome.side === 'near' || !far) {
      return null;
    }
    const { decision } = outcome;
    const crossing = new Crossing(request, far.model, policy.redact);
    try {
      const preview = previewOf(crossing, destinationOf(far), decision);
      if (decision.needs_consent && !(await ask(preview))) {
        await answer('refused');
        return null;
      }
      const grantedBy = decision.needs_consent ? 'consent' : 'policy';
      await cross({ crossing, preview, token: far.token, grantedBy, emit, signal });
    } finally {
      crossing.free();
    }
    return null;
  },
};

async function routeOf(policy: Policy, far: FarConfig | null, consent: Route['situation']['consent']): Promise<Route> {
  // Without a far side the ledger has no say, and a page without storage still answers near.
  const past = far ? await spent() : { crossings: 0, spent_microdollars: 0 };
  return { policy, situation: { consent, far_ready: far !== null, ...past } };
}

function previewOf(crossing: Crossing, destination: string, decision: Decision): ConsentRequest {
  const body = crossing.body();
  return {
    destination,
    model: crossing.model(),
    body,
    bytes: new TextEncoder().encode(body).length,
    redactions: crossing.redactions(),
    decision,
  };
}

/** Runs `work` on the engine once everybody before has finished. */
function inTurn<T>(signal: AbortSignal, work: (engine: Engine) => Promise<T>): Promise<T> {
  const run = turn.then(() => {
    if (signal.aborted) {
      throw abortedError();
    }
    if (!engine) {
      throw new NearsideError('engine_failed', 'no model is loaded; load one first');
    }
    return work(engine);
  });
  turn = run.catch(() => {});
  return run;
}

/** Opens a model's file for `use`, which takes the source over. */
async function withSource<T>(model: ModelSpec | Blob, use: (source: Source) => Promise<T>): Promise<T> {
  if (model instanceof Blob) {
    return use(Source.fromBlob(model));
  }
  const directory = await modelDirectory();
  const file = await findFile(directory, fileNames(hashOf(model)).whole);
  if (!file) {
    throw new NearsideError('invalid_request', `${model.name ?? model.url} is not on this device; download it first`);
  }
  const handle = await openSync(file, 'read-only');
  try {
    return await use(Source.fromHandle(handle));
  } finally {
    handle.close();
  }
}

const channel = new MessageChannel();
const resumes: (() => void)[] = [];
channel.port1.onmessage = () => resumes.shift()?.();

/** Lets waiting messages in, then says whether to go on. */
function pause(signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    resumes.push(() => resolve(!signal.aborted));
    channel.port2.postMessage(null);
  });
}

const running = new Map<number, { controller: AbortController; answer: ((granted: boolean) => void) | null }>();

scope.onmessage = ({ data }) => {
  switch (data.kind) {
    case 'call':
      void serve(data.id, data.method, data.params);
      break;
    case 'cancel':
      running.get(data.id)?.controller.abort();
      break;
    case 'consent':
      running.get(data.id)?.answer?.(data.granted);
      break;
  }
};

async function serve<M extends Method>(id: number, method: M, params: Methods[M]['params']): Promise<void> {
  const call = { controller: new AbortController(), answer: null as ((granted: boolean) => void) | null };
  const { signal } = call.controller;
  running.set(id, call);
  const ask = (request: ConsentRequest) =>
    new Promise<boolean>((resolve, reject) => {
      call.answer = resolve;
      signal.addEventListener('abort', () => reject(abortedError()), { once: true });
      scope.postMessage({ kind: 'consent', id, request });
    });
  try {
    await ready;
    const handler = handlers[method] as Handlers[M];
    const result = await handler(params, {
      emit: (event) => scope.postMessage({ kind: 'event', id, event }),
      ask,
      signal,
    });
    scope.postMessage({ kind: 'result', id, result });
  } catch (error) {
    const fallback: ErrorCode = method === 'load' || method === 'inspect' ? 'model_invalid' : 'engine_failed';
    const message = signal.aborted ? describeError(abortedError(), 'aborted') : describeError(error, fallback);
    scope.postMessage({ kind: 'error', id, error: message });
  } finally {
    running.delete(id);
  }
}
