import { chooseBuild } from './builds.js';
import { abortedError, NearsideError } from './errors.js';
import type { FromWorker, Method, Methods, ToWorker } from './protocol.js';
import type { ConsentHandler, DeviceEvent } from './types.js';

interface Call {
  onEvent: (event: never) => void;
  onConsent: ConsentHandler | undefined;
  resolve: (result: never) => void;
  reject: (error: NearsideError) => void;
}

/** What goes with a call besides its parameters. */
export interface CallOptions<M extends Method> {
  onEvent?: (event: Methods[M]['event']) => void;
  onConsent?: ConsentHandler | undefined;
  signal?: AbortSignal | undefined;
}

/** The page's end of one dedicated worker. */
export class WorkerClient {
  readonly #worker: Worker;
  readonly #calls = new Map<number, Call>();
  /** Told what becomes of the device. */
  onDevice: (event: DeviceEvent) => void = () => {};
  #nextId = 1;
  #ended: NearsideError | null = null;

  constructor() {
    this.#worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'nearside' });
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => void this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      const detail = event.message || 'its script could not be loaded';
      this.end(new NearsideError('engine_failed', `the engine's worker failed: ${detail}; load the model again`));
    };
    this.#post({ kind: 'start', build: chooseBuild() });
  }

  /** Asks for something; aborting the signal cancels it there and rejects here. */
  call<M extends Method>(
    method: M,
    params: Methods[M]['params'],
    options: CallOptions<M> = {},
  ): Promise<Methods[M]['result']> {
    const { signal } = options;
    return new Promise((resolve, reject) => {
      if (this.#ended) {
        reject(this.#ended);
        return;
      }
      if (signal?.aborted) {
        reject(abortedError());
        return;
      }
      const id = this.#nextId++;
      const cancel = () => this.#post({ kind: 'cancel', id });
      signal?.addEventListener('abort', cancel, { once: true });
      const settled = () => {
        this.#calls.delete(id);
        signal?.removeEventListener('abort', cancel);
      };
      this.#calls.set(id, {
        onEvent: (event) => options.onEvent?.(event),
        onConsent: options.onConsent,
        resolve: (result) => {
          settled();
          resolve(result);
        },
        reject: (error) => {
          settled();
          reject(error);
        },
      });
      this.#post({ kind: 'call', id, method, params } as ToWorker);
    });
  }

  /** Ends the worker and everything under way in it. */
  end(reason: NearsideError): void {
    this.#ended ??= reason;
    this.#worker.terminate();
    for (const call of [...this.#calls.values()]) {
      call.reject(this.#ended);
    }
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  async #receive(message: FromWorker): Promise<void> {
    if (message.kind === 'device') {
      this.onDevice(message.event);
      return;
    }
    const call = this.#calls.get(message.id);
    if (!call) {
      return;
    }
    switch (message.kind) {
      case 'event':
        call.onEvent(message.event as never);
        break;
      case 'result':
        call.resolve(message.result as never);
        break;
      case 'error':
        call.reject(new NearsideError(message.error.code, message.error.message));
        break;
      case 'consent': {
        // Nobody to ask, or an asker that fails, is a no.
        let granted = false;
        try {
          granted = (await call.onConsent?.(message.request)) === true;
        } catch (error) {
          console.error('nearside: the consent handler failed, so nothing was sent', error);
        }
        this.#post({ kind: 'consent', id: message.id, granted });
        break;
      }
    }
  }
}
