export type { Adapter, Adapters, AdapterUse } from './adapters.js';
export type { BuildName } from './builds.js';
export type { ChatStream, Completions, RequestOptions } from './completions.js';
export { type Environment, environment } from './environment.js';
export { type ErrorCode, NearsideError } from './errors.js';
export { models } from './models.js';
export { DEFAULT_POLICY, type Embeddings, type LoadOptions, Nearside } from './nearside.js';
export { receipts } from './receipts.js';
export type * from './types.js';
