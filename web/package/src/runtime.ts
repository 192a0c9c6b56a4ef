// The wasm module of this worker, and the threads that share its work.
import { type BuildName, type EngineModule, importBuild, withoutThreads } from './builds.js';
import type { FromThread, ToThread } from './thread.js';

/** A thread that has not come up by then is done without. */
const PATIENCE_MS = 15_000;

/** The module. Nothing may use it before `start` has resolved. */
export let wasm: EngineModule;

/** What came of starting the module. */
export interface Started {
  build: BuildName;
  /** What is not as it could be, for people. */
  notes: string[];
}

/** Fetches and starts a build; where shared memory is refused, its twin with one thread. */
export async function start(build: BuildName): Promise<Started> {
  try {
    wasm = await load(build);
    return { build, notes: [] };
  } catch (error) {
    const single = withoutThreads(build);
    if (!single) {
      throw error;
    }
    wasm = await load(single);
    return { build: single, notes: [`Memory that threads share was refused (${String(error)}): one thread works.`] };
  }
}

async function load(build: BuildName): Promise<EngineModule> {
  const engine = await importBuild(build);
  await engine.default();
  return engine;
}

/** As many threads as are worth having: logical processors are often two to a core. */
export function usualThreads(processors = navigator.hardwareConcurrency): number {
  return Math.min(8, Math.max(Math.min(2, processors), Math.ceil(processors / 2)));
}

/** Starts threads beside this one; gives how many there are then, this one included, and why if it is not `wanted`. */
export async function startThreads(
  build: BuildName,
  wanted: number,
): Promise<{ threads: number; note: string | null }> {
  if (!withoutThreads(build)) {
    const note = wanted > 1 ? 'This page cannot share memory between threads: one thread works.' : null;
    return { threads: 1, note };
  }
  const attempts = Array.from({ length: wanted - 1 }, () => startThread(build));
  const settled = await Promise.allSettled(attempts);
  const failed = settled.filter((one) => one.status === 'rejected');
  const workers = settled.filter((one) => one.status === 'fulfilled').map(({ value }) => value);
  // Numbered only now, so that the numbers have no gaps.
  workers.forEach((worker, index) => {
    post(worker, { kind: 'enter', index });
  });
  const threads = workers.length + 1;
  const note = failed[0] ? `${threads} of ${wanted} threads work: ${String(failed[0].reason)}` : null;
  return { threads, note };
}

function post(worker: Worker, message: ToThread): void {
  worker.postMessage(message);
}

/** A worker that runs the same module in the same memory and waits for its number. It ends with this worker. */
function startThread(build: BuildName): Promise<Worker> {
  const worker = new Worker(new URL('./thread.js', import.meta.url), { type: 'module', name: 'nearside-thread' });
  return new Promise((resolve, reject) => {
    const fail = (reason: string) => {
      clearTimeout(timer);
      worker.terminate();
      reject(new Error(reason));
    };
    const timer = setTimeout(() => fail('a thread did not start in time'), PATIENCE_MS);
    worker.onerror = (event) => {
      event.preventDefault();
      fail(`a thread failed (${event.message || 'its script could not be loaded'})`);
    };
    worker.onmessage = ({ data }: MessageEvent<FromThread>) => {
      if (data.kind === 'ready') {
        clearTimeout(timer);
        resolve(worker);
      } else {
        fail(`a thread failed (${data.problem})`);
      }
    };
    post(worker, { kind: 'start', build, module: wasm.sharedModule(), memory: wasm.sharedMemory() });
  });
}
