// The wasm module as this package uses it, whichever build it is. The builds themselves are put into dist/wasm.
import type { SyncAccessHandle } from './opfs.js';
import type {
  CacheFormat,
  ChatChunk,
  ChatRequest,
  Decision,
  EmbeddingList,
  EmbeddingRequest,
  GpuFeature,
  ModelInfo,
  ModelInspection,
  Policy,
  Redaction,
  SentReceipt,
  Speculation,
  WhenFull,
} from './types.js';

/** Fetches and starts the module; everything else needs it. */
export default function init(): Promise<unknown>;

/** Starts a module that is already compiled, in a memory that is already in use. */
export function initSync(options: { module: WebAssembly.Module; memory: WebAssembly.Memory }): unknown;

/** The compiled module, for workers that are to run it too. */
export function sharedModule(): WebAssembly.Module;

/** The module's memory, for workers that are to share it. */
export function sharedMemory(): WebAssembly.Memory;

/** Makes the calling worker one of the threads that share the engine's work. Never returns. */
export function enterPool(index: number): void;

/** Bytes of wasm memory. It never shrinks, so this is also the most there has been. */
export function memoryBytes(): number;

/** SHA-256 of bytes that come in pieces. */
export class Sha256 {
  constructor();
  update(bytes: Uint8Array): void;
  /** 64 hexadecimal digits; the hash starts anew. */
  finish(): string;
  free(): void;
}

/** A model file. What it was opened from is closed with it. */
export class Source {
  static fromHandle(handle: SyncAccessHandle): Source;
  static fromBlob(blob: Blob): Source;
  /** A file that is still being written and will have so many bytes; its handle stays open. */
  static fromArriving(handle: SyncAccessHandle, length: number): Source;
  free(): void;
}

/** What a model file says about itself. */
export function inspect(source: Source): ModelInspection;

/** What the router needs to know besides the request. */
export interface Route {
  policy: Policy;
  situation: {
    consent: 'not-asked' | 'granted' | 'refused';
    far_ready: boolean;
    crossings: number;
    spent_microdollars: number;
  };
}

/** What became of a request that was put to the engine. */
export type Outcome = { side: 'near' } | { side: 'far'; decision: Decision };

/** What the engine asks of the worker that it runs in. */
export interface Host {
  /** So many weight bytes are in place, out of so many. */
  progress(done: number, total: number): void;
  /** Starts the threads that work on the CPU; resolves to how many there are, the caller included. */
  startThreads(): Promise<number>;
  /** Opens the model's file once more, to load it again. */
  openModel(): Promise<Source>;
  /** Something became of the device. */
  deviceChanged(change: { state: 'lost'; reason: string } | { state: 'restored'; info: EngineInfo }): void;
}

/** What the engine itself knows about a loaded model. */
export type EngineInfo = Omit<ModelInfo, 'id' | 'loadMs' | 'timings' | 'memoryBytes' | 'build' | 'threads' | 'notes'>;

/** How a model is loaded. */
export interface EngineOptions {
  backend: 'auto' | 'gpu' | 'cpu';
  gpu_without: GpuFeature[];
  context: number | null;
  cache: CacheFormat;
  when_full: WhenFull;
  speculation: Speculation;
  conversations: number | null;
  conversation_bytes: number | null;
}

/** What the beginning of a file tells about its model. */
export class Outline {
  /** `undefined` as long as not all of the table is here. */
  static read(source: Source, options: EngineOptions): Outline | undefined;
  /** Opens the GPU and has it prepare itself; `undefined` where the CPU will run the model. Takes itself over. */
  begin(host: Host): Promise<Begun | undefined>;
  free(): void;
}

/** A load that has begun on the GPU. */
export class Begun {
  /** Resolves once everything that was asked for is compiled. */
  compiled(): Promise<void>;
  /** Does what else needs no weights. Takes itself over. */
  rehearse(): Promise<Begun>;
  free(): void;
}

/** A loaded model with its conversations. */
export class Engine {
  /** Takes the source over, and what was begun with the same options. */
  static load(source: Source, options: EngineOptions, host: Host, begun: Begun | undefined): Promise<Engine>;
  info(): EngineInfo;
  /** Scores the request without answering it. */
  decide(request: ChatRequest, route: Route, goOn: () => Promise<boolean>): Promise<Decision>;
  /**
   * Answers near unless the score says far. `emit` gets every chunk, and `null` between them when there is
   * nothing to show yet; resolving to `false` stops the answer.
   */
  chat(
    request: ChatRequest,
    route: Route,
    model: string,
    emit: (chunk: ChatChunk | null) => Promise<boolean>,
  ): Promise<Outcome>;
  /** Takes an adapter, and its source over; gives its number. */
  addAdapter(source: Source): Promise<number>;
  /** From now on these change the model: pairs of number and factor. */
  useAdapters(adapters: [number, number][]): Promise<void>;
  removeAdapter(number: number): Promise<void>;
  /** Makes vectors of texts; `goOn` is called after each, and resolving to `false` stops the work. */
  embed(request: EmbeddingRequest, model: string, goOn: () => Promise<boolean>): Promise<EmbeddingList>;
}

/** One request on its way to the far side. */
export class Crossing {
  constructor(request: ChatRequest, model: string | undefined, redact: boolean);
  /** The exact body to send. */
  body(): string;
  /** The model asked for; empty for the Worker's own choice. */
  model(): string;
  redactions(): Redaction[];
  /** Millionths of a dollar that the answer cost, once the far side has said so. */
  cost(): number | undefined;
  /** The receipt of sending it now. */
  receipt(destination: string, reasons: string[]): SentReceipt;
  /** Takes bytes of the answer's event stream; gives the chunks they complete, placeholders restored. */
  push(bytes: Uint8Array): Omit<ChatChunk, 'nearside'>[];
  /** The stream's end; throws if the answer was cut off. */
  finish(): Omit<ChatChunk, 'nearside'>[];
  free(): void;
}
