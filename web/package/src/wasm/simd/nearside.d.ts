// The wasm module as this package uses it. The build puts the module itself next to the compiled worker.
import type { SyncAccessHandle } from '../../opfs.js';
import type {
  ChatChunk,
  ChatRequest,
  Decision,
  ModelInfo,
  ModelInspection,
  Policy,
  Redaction,
  SentReceipt,
} from '../../types.js';

/** Fetches and starts the module; everything else needs it. */
export default function init(): Promise<unknown>;

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

/** A model file. */
export class Source {
  static fromHandle(handle: SyncAccessHandle): Source;
  static fromBlob(blob: Blob): Source;
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

/** A loaded model with its one conversation. */
export class Engine {
  /** Takes the source over. */
  static load(
    source: Source,
    options: { backend: 'auto' | 'gpu' | 'cpu'; context: number | null },
    progress: (done: number, total: number) => void,
  ): Promise<Engine>;
  info(): Omit<ModelInfo, 'id' | 'loadMs' | 'memoryBytes'>;
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
