/** What went wrong, as a name that code can switch on. */
export type ErrorCode =
  | 'aborted'
  | 'context_full'
  | 'device_lost'
  | 'download_interrupted'
  | 'download_refused'
  | 'engine_failed'
  | 'far_refused'
  | 'far_unavailable'
  | 'invalid_request'
  | 'model_hash_mismatch'
  | 'model_invalid'
  | 'out_of_memory'
  | 'storage_busy'
  | 'storage_full'
  | 'storage_unavailable'
  | 'webgpu_unavailable';

/** The one error class of this package: `code` for programs, `message` for people. */
export class NearsideError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.name = 'NearsideError';
    this.code = code;
  }
}

/** An error as it travels between the page and its worker. */
export interface ErrorMessage {
  code: ErrorCode;
  message: string;
}

/** Turns anything that was thrown into an error message; what names no code gets `fallback`. */
export function describeError(thrown: unknown, fallback: ErrorCode): ErrorMessage {
  if (thrown instanceof NearsideError) {
    return { code: thrown.code, message: thrown.message };
  }
  if (thrown instanceof DOMException && thrown.name === 'AbortError') {
    return { code: 'aborted', message: 'the request was aborted' };
  }
  if (thrown instanceof WebAssembly.RuntimeError) {
    return {
      code: 'engine_failed',
      message: `the engine stopped (${thrown.message}); load the model again, or a smaller one`,
    };
  }
  if (thrown instanceof Error) {
    // Errors made by the wasm module carry a code as an own property.
    const code = (thrown as { code?: unknown }).code;
    return { code: typeof code === 'string' ? (code as ErrorCode) : fallback, message: thrown.message };
  }
  return { code: fallback, message: String(thrown) };
}

/** The error for a signal that fired. */
export function abortedError(): NearsideError {
  return new NearsideError('aborted', 'the request was aborted');
}
