import type { EngineInfo, Host, Source } from './engine.js';
import { type Started, startThreads, wasm } from './runtime.js';
import type { DeviceEvent, LoadTimings, ModelInfo, Progress, Span } from './types.js';

/** What a model is loaded with. */
export interface Surroundings {
  id: string;
  started: Started;
  /** Threads that shall work on the CPU. */
  threads: number;
  /** Opens the model's file. */
  open: () => Promise<Source>;
  onProgress: (progress: Progress) => void;
  onDevice: (event: DeviceEvent) => void;
}

/** What the engine asks of this worker for one model, and what came of it. */
export class EngineHost implements Host {
  readonly #with: Surroundings;
  readonly #notes: string[];
  /** Threads outlive a change of device, so they are started once. */
  #threads: Promise<number> | null = null;
  #working = 1;
  #began = performance.now();
  readonly #asked = this.#began;
  #timings: LoadTimings | null = null;
  /** Of the download, and of what was prepared meanwhile, by this worker's clock. */
  download: Span | null = null;
  prepare: () => Partial<Span> | null = () => null;

  constructor(surroundings: Surroundings) {
    this.#with = surroundings;
    this.#notes = [...surroundings.started.notes];
  }

  progress(done: number, total: number): void {
    this.#with.onProgress({ phase: 'load', done, total });
  }

  startThreads(): Promise<number> {
    this.#threads ??= this.#start();
    return this.#threads;
  }

  async #start(): Promise<number> {
    const { threads, note } = await startThreads(this.#with.started.build, this.#with.threads);
    this.#working = threads;
    if (note !== null) {
      this.#notes.push(note);
    }
    return threads;
  }

  openModel(): Promise<Source> {
    this.#began = performance.now();
    return this.#with.open();
  }

  deviceChanged(change: Parameters<Host['deviceChanged']>[0]): void {
    if (change.state === 'lost') {
      this.#with.onDevice(change);
    } else {
      this.#with.onDevice({ state: 'restored', model: this.describe(change.info) });
    }
  }

  #spans(ended: number): LoadTimings {
    const since = (span: Span) => ({ began: span.began - this.#asked, ended: span.ended - this.#asked });
    const timings: LoadTimings = { load: since({ began: this.#began, ended }) };
    if (this.download) {
      timings.download = since(this.download);
    }
    const { began, ended: prepared = ended } = this.prepare() ?? {};
    if (began !== undefined) {
      timings.prepare = since({ began, ended: prepared });
    }
    return timings;
  }

  /** All that is known about the model that has been loaded just now. */
  describe(info: EngineInfo): ModelInfo {
    const now = performance.now();
    this.#timings ??= this.#spans(now);
    return {
      ...info,
      id: this.#with.id,
      loadMs: now - this.#began,
      timings: this.#timings,
      memoryBytes: wasm.memoryBytes(),
      build: this.#with.started.build,
      threads: this.#working,
      notes: [...this.#notes],
    };
  }
}
