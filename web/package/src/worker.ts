// The dedicated worker: the wasm module lives here, and so does all that could block the page.
import { fetchAdapter } from './adapter-file.js';
import { downloadAhead } from './ahead.js';
import { download } from './download.js';
import type { Begun, Crossing, Engine, Route, Source } from './engine.js';
import { abortedError, describeError, type ErrorCode, NearsideError } from './errors.js';
import { cross, destinationOf } from './far.js';
import { EngineHost } from './host.js';
import { findFile, modelDirectory, openSync } from './opfs.js';
import type { FromWorker, Method, Methods, ToWorker } from './protocol.js';
import { spent } from './receipts.js';
import { type Started, start, usualThreads, wasm } from './runtime.js';
import { fileNames, hashOf } from './store.js';
import type { ConsentRequest, Decision, FarConfig, ModelSpec, Policy } from './types.js';

/** What a running call can use. */
interface Running<M extends Method> {
  emit: (event: Methods[M]['event']) => void;
  ask: (request: ConsentRequest) => Promise<boolean>;
  signal: AbortSignal;
  started: Started;
}

type Handlers = { [M in Method]: (params: Methods[M]['params'], call: Running<M>) => Promise<Methods[M]['result']> };

const scope = self as unknown as {
  postMessage(message: FromWorker): void;
  onmessage: (event: MessageEvent<ToWorker>) => void;
};
/** Set by the page's first message, before any call. */
let ready: Promise<Started> | null = null;

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
    const source = await openSource(model);
    try {
      return wasm.inspect(source);
    } finally {
      source.free();
    }
  },

  async load(params, { emit, signal, started }) {
    const { model, gpuWithout, threads, whenFull, conversationBytes, ...same } = params;
    modelId = model instanceof Blob ? nameOf(model) : (model.id ?? model.sha256);
    const host = new EngineHost({
      id: modelId,
      started,
      threads: threads ?? usualThreads(),
      open: () => openSource(model),
      onProgress: emit,
      onDevice: (event) => scope.postMessage({ kind: 'device', event }),
    });
    const options = {
      ...same,
      gpu_without: gpuWithout,
      when_full: whenFull,
      conversation_bytes: conversationBytes,
    };
    let begun: Begun | undefined;
    if (!(model instanceof Blob) && !(await isStored(model))) {
      const began = performance.now();
      const arrived = await downloadAhead(model, options, host, emit, signal);
      begun = arrived.begun;
      host.prepare = arrived.prepare;
      host.download = { began, ended: performance.now() };
    }
    engine = await wasm.Engine.load(await host.openModel(), options, host, begun);
    return host.describe(engine.info());
  },

  async decide({ request, policy, far }, { signal }) {
    const route = await routeOf(policy, far, 'not-asked');
    return inTurn(signal, (loaded) => loaded.decide(request, route, () => pause(signal)));
  },

  async embed({ request }, { signal }) {
    return inTurn(signal, (loaded) => loaded.embed(request, modelId, () => pause(signal)));
  },

  async addAdapter({ adapter }, { signal }) {
    const file = adapter instanceof Blob ? adapter : await fetchAdapter(adapter, signal);
    const id = await inTurn(signal, (loaded) => loaded.addAdapter(wasm.Source.fromBlob(file)));
    return { id, name: adapter instanceof Blob ? nameOf(adapter) : (adapter.name ?? adapter.url) };
  },

  async useAdapters({ active }, { signal }) {
    await inTurn(signal, (loaded) => loaded.useAdapters(active));
    return null;
  },

  async removeAdapter({ id }, { signal }) {
    await inTurn(signal, (loaded) => loaded.removeAdapter(id));
    return null;
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
    const crossing = new wasm.Crossing(request, far.model, policy.redact);
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

function nameOf(file: Blob): string {
  return file instanceof File ? file.name : 'local';
}

/** Whether a model's whole file is in the store. */
async function isStored(model: ModelSpec): Promise<boolean> {
  return (await findFile(await modelDirectory(), fileNames(hashOf(model)).whole)) !== null;
}

/** Opens a model's file. */
async function openSource(model: ModelSpec | Blob): Promise<Source> {
  if (model instanceof Blob) {
    return wasm.Source.fromBlob(model);
  }
  const directory = await modelDirectory();
  const file = await findFile(directory, fileNames(hashOf(model)).whole);
  if (!file) {
    throw new NearsideError('invalid_request', `${model.name ?? model.url} is not on this device; download it first`);
  }
  return wasm.Source.fromHandle(await openSync(file, 'read-only'));
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
    case 'start':
      ready = start(data.build);
      // Whoever calls first learns of a module that will not start; nobody else needs to hear of it.
      ready.catch(() => {});
      break;
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
    const started = await ready;
    if (!started) {
      throw new NearsideError('engine_failed', 'the engine was not started; load the model again');
    }
    const handler = handlers[method] as Handlers[M];
    const result = await handler(params, {
      emit: (event) => scope.postMessage({ kind: 'event', id, event }),
      ask,
      signal,
      started,
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
