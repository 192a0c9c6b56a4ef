import { Adapters } from './adapters.js';
import { WorkerClient } from './client.js';
import { Completions } from './completions.js';
import { type Environment, environment } from './environment.js';
import { abortedError, NearsideError } from './errors.js';
import { models } from './models.js';
import { receipts } from './receipts.js';
import type {
  BackendChoice,
  CacheFormat,
  ChatRequest,
  ConsentHandler,
  Decision,
  DeviceEvent,
  EmbeddingList,
  EmbeddingRequest,
  FarConfig,
  GpuFeature,
  ModelInfo,
  ModelSpec,
  Policy,
  Progress,
  Speculation,
  WhenFull,
} from './types.js';

/** How a model is loaded. */
export interface LoadOptions {
  /** A model to download and keep, or a GGUF file from disk. */
  model: ModelSpec | Blob;
  /** `auto` takes a real GPU where there is one. */
  backend?: BackendChoice;
  /** What the GPU is used without, to find out whether a driver has it wrong. */
  gpuWithout?: GpuFeature[];
  /** Positions of the conversation; what the model and the device allow when absent. */
  context?: number;
  /** Threads that work on the CPU; half the processors, at least 2 and at most 8, when absent. */
  threads?: number;
  /** How keys and values are kept; `f16` when absent. */
  cache?: CacheFormat;
  /** What happens when a conversation outgrows the context; `stop` when absent. */
  whenFull?: WhenFull;
  /** How many conversations are kept at most, so that each reads only its new tokens; 4 when absent. */
  conversations?: number;
  /**
   * How many bytes their keys and values may take together, each counted as if it filled the context; 256 MiB when
   * absent. One is always kept.
   */
  conversationBytes?: number;
  /** Where tokens are foreseen from; `none` when absent. */
  speculation?: Speculation;
  /** The far side; without it nothing ever leaves the device. */
  far?: FarConfig | null;
  policy?: Partial<Policy>;
  /** Asked before every crossing under the policy `ask`. Without it the answer is no. */
  onConsent?: ConsentHandler;
  onProgress?: (progress: Progress) => void;
  /** Told when the GPU is lost, and when the model is loaded again: there, or on the CPU if it stays away. */
  onDevice?: (event: DeviceEvent) => void;
  /** Aborting it stops the download or the loading. */
  signal?: AbortSignal;
}

/** Makes vectors of texts. */
export interface Embeddings {
  create(request: EmbeddingRequest, options?: { signal?: AbortSignal }): Promise<EmbeddingList>;
}

/** The policy where the app says nothing. */
export const DEFAULT_POLICY: Readonly<Policy> = { mode: 'ask', threshold: null, redact: true };

/** A loaded model and the way to the far side. */
export class Nearside {
  /** `chat.completions.create`, in OpenAI's shape. */
  readonly chat: { readonly completions: Completions };
  /** `embeddings.create`, in OpenAI's shape: vectors of the loaded model, on this device alone. */
  readonly embeddings: Embeddings;
  /** Low-rank adapters of the loaded model. */
  readonly adapters: Adapters;
  /** The ledger of crossings. */
  readonly receipts = receipts;
  /** The models on this device. */
  readonly models = models;
  /** What the app and the user allow; may be changed at any time. */
  policy: Policy;
  /** The far side; may be changed at any time. */
  far: FarConfig | null;
  /** Asked before every crossing under the policy `ask`. */
  onConsent: ConsentHandler | undefined;
  /** Told what becomes of the GPU. */
  onDevice: ((event: DeviceEvent) => void) | undefined;
  readonly #client: WorkerClient;
  #model: ModelInfo;

  private constructor(client: WorkerClient, model: ModelInfo, options: LoadOptions) {
    this.#client = client;
    this.#model = model;
    client.onDevice = (event) => this.#deviceChanged(event);
    this.policy = { ...DEFAULT_POLICY, ...options.policy };
    this.far = options.far ?? null;
    this.onConsent = options.onConsent;
    this.onDevice = options.onDevice;
    this.adapters = new Adapters(client);
    this.embeddings = {
      create: (request, { signal } = {}) => client.call('embed', { request }, { signal }),
    };
    this.chat = {
      completions: new Completions({
        client,
        policy: () => this.policy,
        far: () => this.far,
        consent: () => this.onConsent,
      }),
    };
  }

  /** Downloads the model unless it is here, and loads it in a worker of its own. */
  static async load(options: LoadOptions): Promise<Nearside> {
    const { model, backend = 'auto', context = null, threads = null, onProgress, signal } = options;
    const { gpuWithout = [], cache = 'f16', whenFull = 'stop', speculation = 'none' } = options;
    const { conversations = null, conversationBytes = null } = options;
    if (signal?.aborted) {
      throw abortedError();
    }
    if (threads !== null && !(Number.isInteger(threads) && threads >= 1 && threads <= 64)) {
      throw new NearsideError('invalid_request', `\`threads\` must be a whole number from 1 to 64, not ${threads}`);
    }
    for (const [name, value] of Object.entries({ conversations, conversationBytes })) {
      if (value !== null && !(Number.isSafeInteger(value) && value >= 0)) {
        throw new NearsideError('invalid_request', `\`${name}\` must be a whole number of at least 0, not ${value}`);
      }
    }
    if (backend === 'gpu' && !environment().webgpu) {
      throw new NearsideError(
        'webgpu_unavailable',
        "the backend 'gpu' was asked for but this browser offers no WebGPU; use 'auto' or 'cpu', or a browser with WebGPU",
      );
    }
    const client = new WorkerClient();
    client.onDevice = (event) => options.onDevice?.(event);
    const cancel = () => client.end(abortedError());
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      const info = await client.call(
        'load',
        {
          model,
          backend,
          gpuWithout,
          context,
          threads,
          cache,
          whenFull,
          speculation,
          conversations,
          conversationBytes,
        },
        { onEvent: (progress) => onProgress?.(progress) },
      );
      return new Nearside(client, info, options);
    } catch (error) {
      client.end(abortedError());
      throw error;
    } finally {
      signal?.removeEventListener('abort', cancel);
    }
  }

  /** The loaded model, and what runs it now. */
  get model(): ModelInfo {
    return this.#model;
  }

  /** What this page can do. */
  get environment(): Environment {
    return environment();
  }

  /** Scores a request without answering it; nothing is sent. */
  decide(request: ChatRequest, options: { signal?: AbortSignal } = {}): Promise<Decision> {
    const { nearside, ...body } = request;
    const policy = { ...this.policy, ...nearside };
    return this.#client.call('decide', { request: body, policy, far: this.far }, { signal: options.signal });
  }

  #deviceChanged(event: DeviceEvent): void {
    if (event.state === 'restored') {
      this.#model = event.model;
    }
    this.onDevice?.(event);
  }

  /** Ends the worker and gives its memory back; answers under way end with the error `aborted`. */
  unload(): void {
    this.#client.end(new NearsideError('aborted', 'the model was unloaded; load it again'));
  }
}
