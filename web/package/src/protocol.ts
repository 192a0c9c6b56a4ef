import type { BuildName } from './builds.js';
import type { ErrorMessage } from './errors.js';
import type {
  AdapterSpec,
  BackendChoice,
  CacheFormat,
  ChatChunk,
  ChatRequest,
  ConsentRequest,
  Decision,
  DeviceEvent,
  EmbeddingList,
  EmbeddingRequest,
  FarConfig,
  GpuFeature,
  ModelInfo,
  ModelInspection,
  ModelSpec,
  Policy,
  Progress,
  Speculation,
  WhenFull,
} from './types.js';

/** What the page can ask of the worker, each with its parameters, its events and its result. */
export interface Methods {
  download: { params: { model: ModelSpec }; event: Progress; result: null };
  inspect: { params: { model: ModelSpec | Blob }; event: never; result: ModelInspection };
  load: {
    params: {
      model: ModelSpec | Blob;
      backend: BackendChoice;
      gpuWithout: GpuFeature[];
      context: number | null;
      threads: number | null;
      cache: CacheFormat;
      whenFull: WhenFull;
      speculation: Speculation;
      conversations: number | null;
      conversationBytes: number | null;
    };
    event: Progress;
    result: ModelInfo;
  };
  chat: {
    params: { request: ChatRequest; policy: Policy; far: FarConfig | null };
    event: ChatChunk;
    result: null;
  };
  embed: { params: { request: EmbeddingRequest }; event: never; result: EmbeddingList };
  addAdapter: { params: { adapter: AdapterSpec | Blob }; event: never; result: { id: number; name: string } };
  useAdapters: { params: { active: [number, number][] }; event: never; result: null };
  removeAdapter: { params: { id: number }; event: never; result: null };
  decide: { params: { request: ChatRequest; policy: Policy; far: FarConfig | null }; event: never; result: Decision };
}

/** The name of something the page can ask for. */
export type Method = keyof Methods;

/** From the page to the worker. */
export type ToWorker =
  | { kind: 'start'; build: BuildName }
  | { [M in Method]: { kind: 'call'; id: number; method: M; params: Methods[M]['params'] } }[Method]
  | { kind: 'cancel'; id: number }
  | { kind: 'consent'; id: number; granted: boolean };

/** From the worker to the page. */
export type FromWorker =
  | { kind: 'event'; id: number; event: Methods[Method]['event'] }
  | { kind: 'consent'; id: number; request: ConsentRequest }
  | { kind: 'device'; event: DeviceEvent }
  | { kind: 'result'; id: number; result: Methods[Method]['result'] }
  | { kind: 'error'; id: number; error: ErrorMessage };
