// A thread of the engine: the same module in the same memory, inside which it waits for work until it is terminated.
import { type BuildName, type EngineModule, importBuild } from './builds.js';

/** To a thread. */
export type ToThread =
  | { kind: 'start'; build: BuildName; module: WebAssembly.Module; memory: WebAssembly.Memory }
  | { kind: 'enter'; index: number };

/** From a thread. */
export type FromThread = { kind: 'ready' } | { kind: 'failed'; problem: string };

const scope = self as unknown as {
  postMessage(message: FromThread): void;
  onmessage: (event: MessageEvent<ToThread>) => void;
};

let engine: EngineModule | null = null;

scope.onmessage = ({ data }) => {
  if (data.kind === 'enter') {
    // It does not come back, so no message is read after this one.
    engine?.enterPool(data.index);
    return;
  }
  void join(data.build, data.module, data.memory);
};

async function join(build: BuildName, module: WebAssembly.Module, memory: WebAssembly.Memory): Promise<void> {
  try {
    engine = await importBuild(build);
    engine.initSync({ module, memory });
    scope.postMessage({ kind: 'ready' });
  } catch (error) {
    scope.postMessage({ kind: 'failed', problem: String(error) });
  }
}
