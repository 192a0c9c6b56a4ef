import type { BuildName } from './builds.js';

/** A message of a conversation. */
export interface ChatMessage {
  role: 'system' | 'user' | 'assistant' | 'tool' | (string & {});
  /** What is said; `null` where an assistant only calls tools. */
  content: string | null;
  /** What an assistant thought before it spoke, where the model writes that down. */
  reasoning_content?: string;
  /** The tools that an assistant calls. */
  tool_calls?: ToolCall[];
  /** Which call a tool's message answers. */
  tool_call_id?: string;
  name?: string;
}

/** A tool that is called. */
export interface ToolCall {
  id: string;
  type: 'function';
  function: {
    name: string;
    /** JSON, as the model wrote it. */
    arguments: string;
  };
}

/** A tool that may be called. */
export interface Tool {
  type: 'function';
  function: {
    name: string;
    description?: string;
    /** The JSON Schema of its arguments. */
    parameters?: Record<string, unknown>;
  };
}

/** Whether tools are called: none, as the model likes, at least one, or this one. */
export type ToolChoice = 'none' | 'auto' | 'required' | { type: 'function'; function: { name: string } };

/** What the answer must look like. */
export type ResponseFormat =
  | { type: 'text' }
  | { type: 'json_object' }
  | { type: 'json_schema'; json_schema: { name: string; schema: Record<string, unknown>; strict?: boolean } };

/** Which side answered. */
export type Side = 'near' | 'far';

/**
 * What the app and the user allow.
 * `near-only` never crosses; `ask` crosses after consent; `auto` is the user's standing consent;
 * `far-only` always crosses.
 */
export type PolicyMode = 'near-only' | 'ask' | 'auto' | 'far-only';

/** When a request may leave the device. */
export interface Policy {
  mode: PolicyMode;
  /** Requests that score this much or more want the far side, 0 to 1; the router's own where `null`. */
  threshold: number | null;
  /** Replace e-mail addresses, keys, numbers and the like by placeholders before anything is sent. */
  redact: boolean;
  /** What the crossings in the ledger may come to in all; no limit where absent. */
  budget?: { crossings?: number | null; microdollars?: number | null };
}

/** What this package adds to a request. */
export interface RequestExtras extends Partial<Policy> {}

/** A chat request in OpenAI's shape. */
export interface ChatRequest {
  messages: ChatMessage[];
  model?: string;
  stream?: boolean;
  max_tokens?: number;
  max_completion_tokens?: number;
  temperature?: number;
  top_p?: number;
  top_k?: number;
  min_p?: number;
  seed?: number;
  stop?: string | string[];
  /** Taken from a token's logit once for each time that it stands in the answer. */
  frequency_penalty?: number;
  /** Taken from the logit of every token that stands in the answer. */
  presence_penalty?: number;
  /** Divides the logits of tokens that were there lately; 1 changes nothing. */
  repetition_penalty?: number;
  /** Added to the logits of tokens, by their numbers; -100 forbids one. */
  logit_bias?: Record<string, number>;
  /** How many answers. */
  n?: number;
  /** JSON, or JSON of a schema. The answer cannot be anything else. */
  response_format?: ResponseFormat;
  /** What the model may call. */
  tools?: Tool[];
  tool_choice?: ToolChoice;
  parallel_tool_calls?: boolean;
  logprobs?: boolean;
  top_logprobs?: number;
  /** Goes on where the model would end, up to `max_tokens`: for measurements. */
  ignore_eos?: boolean;
  /** Overrides the policy for this request alone. */
  nearside?: RequestExtras;
}

/** Which side spoke, and why. */
export interface NearsideNote {
  side: Side;
  /** The probability that near's answer will not be good enough. */
  score?: number | undefined;
  /** What the score was compared with. */
  threshold?: number | undefined;
  /** The signals that weighed most, in words. */
  reasons: string[];
  /** The receipt of the crossing, for a far answer. */
  receipt?: string | undefined;
  /** How fast it went, on the last chunk or the completion. */
  timings?: Timings | undefined;
}

/** Why an answer ended. */
export type FinishReason = 'stop' | 'length' | 'content_filter' | 'tool_calls' | (string & {});

/** Tokens read and written. */
export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  /** Prompt tokens that were read for an earlier request. */
  prompt_tokens_details?: { cached_tokens: number };
  /** Tokens that were foreseen and came, and that did not; absent where none was foreseen. */
  completion_tokens_details?: { accepted_prediction_tokens: number; rejected_prediction_tokens: number };
  total_tokens: number;
}

/** How fast an answer was made. */
export interface Timings {
  /** Prompt tokens read per second, reused ones not counted. */
  prompt_tokens_per_second?: number;
  /** Tokens written per second, from the first to the last. */
  completion_tokens_per_second?: number;
  first_token_milliseconds?: number;
  /** Prompt tokens that were still in the session from the turn before. */
  reused_tokens?: number;
}

/** One chosen token with its probability. */
export interface TokenLogprob {
  token: string;
  logprob: number;
  bytes?: number[] | null;
  top_logprobs?: { token: string; logprob: number; bytes?: number[] | null }[];
}

/** What a piece adds to a message. */
export interface ChatDelta {
  role?: string;
  content?: string | null;
  reasoning_content?: string;
  /** A call's first piece has its id and name; the others of the same index add to its arguments. */
  tool_calls?: { index: number; id?: string; type?: 'function'; function?: { name?: string; arguments?: string } }[];
}

/** A piece of a streamed answer. */
export interface ChatChunk {
  id: string;
  object: 'chat.completion.chunk';
  created: number;
  model: string;
  choices: {
    index: number;
    delta: ChatDelta;
    finish_reason: FinishReason | null;
    logprobs?: { content: TokenLogprob[] | null } | null;
  }[];
  usage?: Usage | null;
  nearside: NearsideNote;
}

/** A whole answer. */
export interface ChatCompletion {
  id: string;
  object: 'chat.completion';
  created: number;
  model: string;
  choices: {
    index: number;
    message: ChatMessage;
    finish_reason: FinishReason;
    logprobs: { content: TokenLogprob[] | null } | null;
  }[];
  usage: Usage | null;
  nearside: NearsideNote;
}

/** What the router decided about a request. */
export interface Decision {
  side: Side;
  /** Whether the user must agree before anything crosses. */
  needs_consent: boolean;
  /** Whether neither side may answer; the reasons say why. */
  blocked: boolean;
  score: number;
  threshold: number;
  /** Sentences, the deciding one first. */
  reasons: string[];
}

/** A value that is replaced before sending. */
export interface Redaction {
  /** What kind of value it is, such as `email`. */
  kind: string;
  /** What is sent in its place. */
  placeholder: string;
  /** The value itself; it stays on this device. */
  value: string;
}

/** What a crossing would send: shown before anything is sent. */
export interface ConsentRequest {
  /** The address the request would go to. */
  destination: string;
  /** The model asked for; empty for the Worker's own choice. */
  model: string;
  /** The exact body that would be sent. */
  body: string;
  /** Its length in bytes. */
  bytes: number;
  redactions: Redaction[];
  decision: Decision;
}

/** Answers whether a request may cross. */
export type ConsentHandler = (request: ConsentRequest) => boolean | Promise<boolean>;

/** What a crossing sent, as the router writes it down. It holds no text of the conversation. */
export interface SentReceipt {
  id: string;
  /** Milliseconds since 1970. */
  at: number;
  destination: string;
  model: string;
  /** Bytes of the body. */
  bytes: number;
  /** The fields of the body. */
  fields: string[];
  messages: number;
  /** How many different values of each kind were replaced. */
  redactions: Record<string, number>;
  reasons: string[];
  /** Millionths of a dollar, once that is known. */
  cost_microdollars?: number;
  prompt_tokens?: number;
  completion_tokens?: number;
}

/** A record of one crossing, kept on this device. */
export interface Receipt extends SentReceipt {
  score: number;
  threshold: number;
  /** Who allowed it: the user for this request, or the policy. */
  granted_by: 'consent' | 'policy';
  outcome: 'sent' | 'answered' | 'failed' | 'aborted';
  /** Why it failed. */
  error?: string;
}

/** A model that can be downloaded. */
export interface ModelSpec {
  /** What to call it in answers; the SHA-256 when absent. */
  id?: string;
  name?: string;
  url: string;
  /** Of the whole file, 64 hexadecimal digits. */
  sha256: string;
  /** The file's length, for progress and for the check of free space. */
  bytes?: number;
}

/** A low-rank adapter that can be fetched. */
export interface AdapterSpec {
  /** What to call it; the address when absent. */
  name?: string;
  url: string;
  /** Of the whole file, 64 hexadecimal digits; a file that has another is refused. */
  sha256?: string;
}

/** A model in the store. */
export interface StoredModel {
  id: string;
  name: string;
  url: string;
  sha256: string;
  /** The file's length, when known. */
  bytes: number | null;
  /** Bytes that are on this device. */
  stored: number;
  complete: boolean;
}

/** How far a long piece of work is. */
export interface Progress {
  phase: 'download' | 'verify' | 'load';
  done: number;
  /** `null` when unknown. */
  total: number | null;
}

/** Where far answers come from. */
export interface FarConfig {
  /** Base address of the Worker. */
  url: string;
  /** The client token it wants. */
  token?: string;
  /** The model to ask for; the Worker's own default when absent. */
  model?: string;
}

/** What kind of device runs near. */
export type BackendChoice = 'auto' | 'gpu' | 'cpu';

/** A feature of the GPU that the engine uses where it is there, and can do without. */
export type GpuFeature = 'shader-f16' | 'subgroups';

/** Facts about the GPU adapter. */
export interface AdapterFacts {
  name: string;
  vendor: string;
  /** Whether it is software pretending to be a GPU. */
  software: boolean;
  features: string[];
}

/** From when to when, in milliseconds since loading was asked for. */
export interface Span {
  began: number;
  ended: number;
}

/** When the parts of a load were done. */
export interface LoadTimings {
  /** The download; absent where nothing was downloaded. */
  download?: Span;
  /** Opening the GPU, making room on it and compiling for it, where that was done during the download. */
  prepare?: Span;
  /** What was left when the file was here. */
  load: Span;
}

/** Facts about a loaded model. */
export interface ModelInfo {
  id: string;
  name: string;
  architecture: string;
  parameters: number;
  quantization: string;
  context: number;
  layers: number;
  vocabulary: number;
  backend: { kind: 'gpu' | 'cpu'; device: string; features: string[] };
  /** Bytes of wasm memory after loading: the most there has been, since it never shrinks. */
  memoryBytes: number;
  /** How long loading took, without downloading. */
  loadMs: number;
  /** How the first loading went, beside the download. */
  timings: LoadTimings;
  /** Why this backend was chosen. */
  choice: string;
  /** Which build of the engine runs. */
  build: BuildName;
  /** Threads that work on the CPU; one when the GPU works. */
  threads: number;
  /** What is not as it could be, for people. */
  notes: string[];
}

/** Texts to make vectors of. */
export interface EmbeddingRequest {
  /** One text or several, or their tokens. */
  input: string | string[] | number[] | number[][];
  /** How tokens become one vector: the mean of all, or the last, which has seen all others. */
  pooling?: 'mean' | 'last';
  encoding_format?: 'float' | 'base64';
  model?: string;
}

/** Vectors, each of length 1, in OpenAI's shape. */
export interface EmbeddingList {
  object: 'list';
  /** Numbers, or base64 where that was asked for. */
  data: { object: 'embedding'; index: number; embedding: number[] | string }[];
  model: string;
  usage: { prompt_tokens: number; total_tokens: number };
}

/** How the keys and values of a conversation are kept: `q8_0` takes about half the memory of `f16`. */
export type CacheFormat = 'f16' | 'q8_0';

/**
 * What happens when a conversation outgrows the context: `stop` refuses it, or ends its answer there; `slide` forgets
 * its oldest turns, never the system prompt.
 */
export type WhenFull = 'stop' | 'slide';

/**
 * Where tokens are foreseen from, so that several are checked in one step: `lookup` takes them from what stood in the
 * conversation before, which pays where answers quote it, as in edits and summaries. Answers are the same with it and
 * without; `usage.completion_tokens_details` tells how many tokens were foreseen rightly.
 */
export type Speculation = 'none' | 'lookup';

/** What became of the device while the model was loaded. */
export type DeviceEvent =
  /** It is gone. The answer under way waits until the model is loaded again. */
  | { state: 'lost'; reason: string }
  /** The model is loaded again, on the GPU that came back or on the CPU; the answer goes on. */
  | { state: 'restored'; model: ModelInfo };

/** A tensor of a model file. */
export interface TensorSummary {
  name: string;
  type: string;
  dimensions: number[];
  bytes: number;
}

/** What a model file says about itself. */
export interface ModelInspection {
  version: number;
  architecture: string;
  name: string;
  parameters: number;
  bytes: number;
  tensors: TensorSummary[];
  metadata: Record<string, unknown>;
}
