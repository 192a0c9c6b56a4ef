import type { WorkerClient } from './client.js';
import { collect } from './collect.js';
import { Queue } from './queue.js';
import type { ChatChunk, ChatCompletion, ChatRequest, ConsentHandler, FarConfig, Policy } from './types.js';

/** What an answer needs to know about the app it is in. */
export interface CompletionContext {
  client: WorkerClient;
  policy(): Policy;
  far(): FarConfig | null;
  consent(): ConsentHandler | undefined;
}

/** How a request is made, besides what it says. */
export interface RequestOptions {
  /** Aborting it stops the answer on whichever side is speaking. */
  signal?: AbortSignal;
}

/** A streamed answer; leaving the loop early stops it. */
export interface ChatStream extends AsyncIterable<ChatChunk> {
  /** Stops the answer. */
  abort(): void;
}

/** `chat.completions`, in OpenAI's shape. */
export class Completions {
  readonly #context: CompletionContext;

  constructor(context: CompletionContext) {
    this.#context = context;
  }

  create(request: ChatRequest & { stream: true }, options?: RequestOptions): Promise<ChatStream>;
  create(request: ChatRequest & { stream?: false }, options?: RequestOptions): Promise<ChatCompletion>;
  create(request: ChatRequest, options?: RequestOptions): Promise<ChatStream | ChatCompletion>;
  async create(request: ChatRequest, options: RequestOptions = {}): Promise<ChatStream | ChatCompletion> {
    const stream = this.#stream(request, options);
    return request.stream ? stream : collect(stream);
  }

  #stream(request: ChatRequest, { signal }: RequestOptions): ChatStream {
    const { client, policy, far, consent } = this.#context;
    const { nearside, ...body } = request;
    const controller = new AbortController();
    const abort = () => controller.abort();
    if (signal?.aborted) {
      abort();
    }
    signal?.addEventListener('abort', abort, { once: true });
    const queue = new Queue<ChatChunk>(abort);
    client
      .call(
        'chat',
        { request: body, policy: { ...policy(), ...nearside }, far: far() },
        { onEvent: (chunk) => queue.push(chunk), onConsent: consent(), signal: controller.signal },
      )
      .then(
        () => queue.close(),
        (error: unknown) => queue.fail(error),
      )
      .finally(() => signal?.removeEventListener('abort', abort));
    return { abort, [Symbol.asyncIterator]: () => queue };
  }
}
