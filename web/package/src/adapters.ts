import type { WorkerClient } from './client.js';
import { hashOf } from './store.js';
import type { AdapterSpec } from './types.js';

/** A low-rank adapter that the loaded model has taken. */
export interface Adapter {
  readonly id: number;
  readonly name: string;
}

/** An adapter by its factor; 1, as it was trained, when absent. */
export interface AdapterUse {
  adapter: Adapter;
  factor?: number;
}

/** Low-rank adapters (LoRA) of the loaded model: GGUF files as llama.cpp's converter writes them. */
export class Adapters {
  readonly #client: WorkerClient;

  constructor(client: WorkerClient) {
    this.#client = client;
  }

  /** Takes an adapter: a file from disk, or one from an address. It changes nothing until it is used. */
  async load(adapter: AdapterSpec | Blob, options: { signal?: AbortSignal } = {}): Promise<Adapter> {
    if (!(adapter instanceof Blob) && adapter.sha256 !== undefined) {
      hashOf({ sha256: adapter.sha256 });
    }
    return this.#client.call('addAdapter', { adapter }, { signal: options.signal });
  }

  /** From now on these change the model, and no others; none is the model itself. */
  async use(...adapters: (Adapter | AdapterUse)[]): Promise<void> {
    const active = adapters.map((one): [number, number] =>
      'adapter' in one ? [one.adapter.id, one.factor ?? 1] : [one.id, 1],
    );
    await this.#client.call('useAdapters', { active });
  }

  /** Gives an adapter's room back; one in use is no longer. */
  async remove(adapter: Adapter): Promise<void> {
    await this.#client.call('removeAdapter', { id: adapter.id });
  }
}
