// An adapter's file on its way into the worker.
import { abortedError, NearsideError } from './errors.js';
import { wasm } from './runtime.js';
import { hashOf } from './store.js';
import type { AdapterSpec } from './types.js';

/** Fetches an adapter; where its hash is given, a file that has another is refused. */
export async function fetchAdapter(spec: AdapterSpec, signal: AbortSignal): Promise<Blob> {
  const sha256 = spec.sha256 === undefined ? null : hashOf({ sha256: spec.sha256 });
  let file: Blob;
  try {
    const response = await fetch(spec.url, { signal, credentials: 'same-origin', cache: 'no-store' });
    if (!response.ok) {
      throw new NearsideError(
        'download_refused',
        `the server answered ${response.status} ${response.statusText} for ${spec.url}; check the address`,
      );
    }
    file = await response.blob();
  } catch (error) {
    if (error instanceof NearsideError) {
      throw error;
    }
    if (signal.aborted) {
      throw abortedError();
    }
    const reason = error instanceof Error ? error.message : String(error);
    throw new NearsideError('download_interrupted', `the download of ${spec.url} broke off (${reason}); try again`);
  }
  if (sha256 !== null) {
    const found = await hash(file);
    if (found !== sha256) {
      throw new NearsideError(
        'model_hash_mismatch',
        `the file at ${spec.url} is not the adapter asked for: its SHA-256 is ${found}, expected ${sha256}. ` +
          'Check the address and the hash',
      );
    }
  }
  return file;
}

async function hash(file: Blob): Promise<string> {
  const hash = new wasm.Sha256();
  try {
    const reader = file.stream().getReader();
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      hash.update(piece.value);
    }
    return hash.finish();
  } finally {
    hash.free();
  }
}
