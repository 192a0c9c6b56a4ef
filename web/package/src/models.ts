import { WorkerClient } from './client.js';
import { abortedError } from './errors.js';
import { hashOf, listModels, removeModel, stateOf } from './store.js';
import type { ModelInspection, ModelSpec, Progress, StoredModel } from './types.js';

async function inOwnWorker<T>(work: (client: WorkerClient) => Promise<T>): Promise<T> {
  const client = new WorkerClient();
  try {
    return await work(client);
  } finally {
    client.end(abortedError());
  }
}

/** The models on this device. */
export const models = {
  /**
   * Brings a model onto this device: verified by its SHA-256, continued where an earlier attempt broke off.
   * Aborting the signal keeps what is already here.
   */
  async download(
    model: ModelSpec,
    options: { onProgress?: (progress: Progress) => void; signal?: AbortSignal } = {},
  ): Promise<void> {
    hashOf(model);
    await inOwnWorker((client) =>
      client.call(
        'download',
        { model },
        { onEvent: (progress) => options.onProgress?.(progress), signal: options.signal },
      ),
    );
  },

  /** Whether the whole of the model is on this device. */
  async has(model: { sha256: string }): Promise<boolean> {
    return (await stateOf(hashOf(model))).complete;
  },

  /** Removes a model, or the part of it that is here. */
  async remove(model: { sha256: string }): Promise<void> {
    await removeModel(hashOf(model));
  },

  /** Every model that is on this device, whole or in part. */
  list(): Promise<StoredModel[]> {
    return listModels();
  },

  /** What a model file says about itself: a file from disk, or one in the store. */
  inspect(model: ModelSpec | Blob): Promise<ModelInspection> {
    return inOwnWorker((client) => client.call('inspect', { model }));
  },
};
