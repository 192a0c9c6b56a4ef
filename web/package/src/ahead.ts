// Beginning to load while the model's file is still on its way: once its table is here, the GPU is opened and compiles.
import { download } from './download.js';
import type { Begun, EngineOptions, Host, Outline } from './engine.js';
import type { SyncAccessHandle } from './opfs.js';
import { wasm } from './runtime.js';
import type { ModelSpec, Progress, Span } from './types.js';

/** The table is looked for when so many bytes are here, and then whenever twice as many are. */
const FIRST_LOOK = 512 << 10;
/** No table is longer. */
const LAST_LOOK = 256 << 20;

/** What came of a download. */
export interface Arrived {
  /** What was begun meanwhile. */
  begun: Begun | undefined;
  /** When it was prepared, by this worker's clock; the end is not known before that has come. */
  prepare: () => Partial<Span> | null;
}

/** Brings a model into the store, and meanwhile begins to load it where the GPU may run it. */
export async function downloadAhead(
  model: ModelSpec,
  options: EngineOptions,
  host: Host,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<Arrived> {
  const wanted = options.backend !== 'cpu' && 'gpu' in navigator;
  const ahead = new Ahead(options, host);
  try {
    await download(model, onProgress, signal, wanted ? (...arrived) => ahead.look(...arrived) : undefined);
  } catch (error) {
    (await ahead.take())?.free();
    throw error;
  }
  return { begun: await ahead.take(), prepare: () => ahead.span };
}

/** What is begun of one load. What fails here is done without, and fails again or not once the file is here. */
class Ahead {
  readonly #options: EngineOptions;
  readonly #host: Host;
  #nextLook = FIRST_LOOK;
  #begun: Promise<Begun | undefined> | null = null;
  #over = false;
  #resolveEnd = () => {};
  readonly #end = new Promise<void>((resolve) => {
    this.#resolveEnd = resolve;
  });
  span: Partial<Span> | null = null;

  constructor(options: EngineOptions, host: Host) {
    this.#options = options;
    this.#host = host;
  }

  /** So many bytes of the file are here, of so many. */
  look(handle: SyncAccessHandle, bytes: number, total: number): void {
    if (this.#begun || bytes < this.#nextLook) {
      return;
    }
    this.#nextLook = bytes < LAST_LOOK ? 2 * bytes : Number.POSITIVE_INFINITY;
    const source = wasm.Source.fromArriving(handle, total);
    try {
      // Options that make no sense are told when the model is loaded.
      const outline = wasm.Outline.read(source, this.#options);
      if (outline) {
        this.#begun = this.#begin(outline).catch(() => undefined);
      }
    } catch {
      this.#nextLook = Number.POSITIVE_INFINITY;
    } finally {
      source.free();
    }
  }

  async #begin(outline: Outline): Promise<Begun | undefined> {
    const began = performance.now();
    const begun = await outline.begin(this.#host);
    if (!begun) {
      return undefined;
    }
    const span: Partial<Span> = { began };
    this.span = span;
    const compiled = begun.compiled().then(
      () => {
        span.ended = performance.now();
      },
      () => {},
    );
    // What is still being compiled when the file is here goes on beside the upload.
    await Promise.race([compiled, this.#end]);
    return this.#over ? begun : await begun.rehearse();
  }

  /** The file is here, or will not come: no further step is begun. */
  async take(): Promise<Begun | undefined> {
    this.#over = true;
    this.#resolveEnd();
    return (await this.#begun) ?? undefined;
  }
}
