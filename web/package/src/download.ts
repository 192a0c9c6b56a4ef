import type { Sha256 } from './engine.js';
import { abortedError, NearsideError } from './errors.js';
import { findFile, modelDirectory, openSync, type SyncAccessHandle } from './opfs.js';
import { wasm } from './runtime.js';
import { fileNames, hashOf, removeModel } from './store.js';
import type { ModelSpec, Progress } from './types.js';

const READ_BYTES = 4 << 20;
const FLUSH_BYTES = 32 << 20;
const PROGRESS_MS = 100;

/** Told whenever more of the file is here: the file, how many bytes, of how many. */
export type Arrival = (handle: SyncAccessHandle, bytes: number, total: number) => void;

/** A file on its way in: its bytes so far, and their hash. */
interface Partial {
  handle: SyncAccessHandle;
  hash: Sha256;
  size: number;
}

/**
 * Brings a model into the store. What an earlier attempt left is hashed again and continued where the server
 * takes ranges; the file only gets its final name when its SHA-256 is the one asked for.
 */
export async function download(
  spec: ModelSpec,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
  onArrival: Arrival = () => {},
): Promise<void> {
  const sha256 = hashOf(spec);
  const names = fileNames(sha256);
  const directory = await modelDirectory();
  if (await findFile(directory, names.whole)) {
    return;
  }
  const file = await directory.getFileHandle(names.part, { create: true });
  const handle = await openSync(file, 'readwrite');
  let found: string;
  try {
    await writeNote(directory, names.note, { ...spec, sha256 });
    const partial = { handle, hash: new wasm.Sha256(), size: handle.getSize() };
    await rehash(partial, spec, onProgress, signal);
    await checkSpace(spec, partial.size);
    if (partial.size !== spec.bytes) {
      await fetchRest(partial, spec, onProgress, signal, onArrival);
    }
    found = partial.hash.finish();
    partial.hash.free();
    handle.flush();
  } finally {
    handle.close();
  }
  if (found !== sha256) {
    await removeModel(sha256);
    throw new NearsideError(
      'model_hash_mismatch',
      `the file at ${spec.url} is not the model asked for: its SHA-256 is ${found}, expected ${sha256}; ` +
        'it was removed. Check the address and the hash',
    );
  }
  await (file as FileSystemFileHandle & { move(name: string): Promise<void> }).move(names.whole);
}

async function writeNote(directory: FileSystemDirectoryHandle, name: string, spec: ModelSpec): Promise<void> {
  const handle = await openSync(await directory.getFileHandle(name, { create: true }), 'readwrite');
  try {
    const bytes = new TextEncoder().encode(JSON.stringify(spec));
    handle.truncate(0);
    writeAll(handle, bytes, 0);
    handle.flush();
  } finally {
    handle.close();
  }
}

async function rehash(
  partial: Partial,
  spec: ModelSpec,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<void> {
  if (spec.bytes !== undefined && partial.size > spec.bytes) {
    restart(partial);
  }
  const buffer = new Uint8Array(Math.min(READ_BYTES, partial.size));
  for (let offset = 0; offset < partial.size; ) {
    const read = partial.handle.read(buffer.subarray(0, partial.size - offset), { at: offset });
    if (read === 0) {
      throw new NearsideError(
        'storage_unavailable',
        `the stored part of ${spec.url} cannot be read back; remove the model`,
      );
    }
    partial.hash.update(buffer.subarray(0, read));
    offset += read;
    onProgress({ phase: 'verify', done: offset, total: partial.size });
    // Lets a cancel message in.
    await new Promise((resolve) => setTimeout(resolve));
    if (signal.aborted) {
      throw abortedError();
    }
  }
}

async function checkSpace(spec: ModelSpec, present: number): Promise<void> {
  if (spec.bytes === undefined) {
    return;
  }
  const { quota, usage } = await navigator.storage.estimate();
  const free = (quota ?? Number.POSITIVE_INFINITY) - (usage ?? 0);
  if (spec.bytes - present > free) {
    throw storageFull(
      spec,
      `it needs ${megabytes(spec.bytes - present)} more and the browser allows ${megabytes(free)}`,
    );
  }
}

async function fetchRest(
  partial: Partial,
  spec: ModelSpec,
  onProgress: (progress: Progress) => void,
  signal: AbortSignal,
  onArrival: Arrival,
): Promise<void> {
  const response = await open(partial, spec, signal);
  const length = Number(response.headers.get('content-length') ?? Number.NaN);
  const total = spec.bytes ?? (Number.isFinite(length) ? partial.size + length : null);
  const reader = response.body?.getReader();
  let reported = 0;
  let unflushed = 0;
  onProgress({ phase: 'download', done: partial.size, total });
  try {
    while (reader) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw interrupted(partial, spec, total, error, signal);
      });
      if (done) {
        break;
      }
      append(partial, value, spec);
      if (total !== null) {
        onArrival(partial.handle, partial.size, total);
      }
      unflushed += value.length;
      if (unflushed >= FLUSH_BYTES) {
        partial.handle.flush();
        unflushed = 0;
      }
      const now = performance.now();
      if (now - reported >= PROGRESS_MS || partial.size === total) {
        reported = now;
        onProgress({ phase: 'download', done: partial.size, total });
      }
      // A server that never stops must not fill the disk; the hash then says what is wrong.
      if (spec.bytes !== undefined && partial.size > spec.bytes) {
        break;
      }
    }
  } finally {
    partial.handle.flush();
    await reader?.cancel().catch(() => {});
  }
  if (total !== null && partial.size < total) {
    throw interrupted(partial, spec, total, 'the connection closed early', signal);
  }
}

/** The response whose body continues `partial`, which is emptied when the server will not continue it. */
async function open(partial: Partial, spec: ModelSpec, signal: AbortSignal): Promise<Response> {
  const headers: HeadersInit = partial.size > 0 ? { range: `bytes=${partial.size}-` } : {};
  let response: Response;
  try {
    response = await fetch(spec.url, { headers, signal, credentials: 'same-origin', cache: 'no-store' });
  } catch (error) {
    throw interrupted(partial, spec, spec.bytes ?? null, error, signal);
  }
  if (partial.size > 0) {
    const range = response.headers.get('content-range');
    const continues = response.status === 206 && (range === null || range.startsWith(`bytes ${partial.size}-`));
    if (continues) {
      return response;
    }
    restart(partial);
    if (response.status === 206 || response.status === 416) {
      await response.body?.cancel();
      return open(partial, spec, signal);
    }
  }
  if (!response.ok) {
    throw new NearsideError(
      'download_refused',
      `the server answered ${response.status} ${response.statusText} for ${spec.url}; check the address`,
    );
  }
  return response;
}

function restart(partial: Partial): void {
  partial.handle.truncate(0);
  partial.hash.finish();
  partial.size = 0;
}

function append(partial: Partial, bytes: Uint8Array, spec: ModelSpec): void {
  try {
    writeAll(partial.handle, bytes, partial.size);
  } catch (error) {
    if (error instanceof DOMException && error.name === 'QuotaExceededError') {
      throw storageFull(spec, `the browser allows no more after ${megabytes(partial.size)}`);
    }
    throw error;
  }
  partial.hash.update(bytes);
  partial.size += bytes.length;
}

function writeAll(handle: SyncAccessHandle, bytes: Uint8Array, at: number): void {
  for (let written = 0; written < bytes.length; ) {
    const count = handle.write(bytes.subarray(written), { at: at + written });
    if (count === 0) {
      throw new DOMException('nothing could be written', 'QuotaExceededError');
    }
    written += count;
  }
}

function storageFull(spec: ModelSpec, detail: string): NearsideError {
  return new NearsideError(
    'storage_full',
    `there is no room for ${spec.name ?? spec.url}: ${detail}; remove another model or free disk space`,
  );
}

function interrupted(
  partial: Partial,
  spec: ModelSpec,
  total: number | null,
  cause: unknown,
  signal: AbortSignal,
): NearsideError {
  if (signal.aborted) {
    return abortedError();
  }
  const reason = cause instanceof Error ? cause.message : String(cause);
  const of = total === null ? '' : ` of ${megabytes(total)}`;
  return new NearsideError(
    'download_interrupted',
    `the download of ${spec.url} broke off (${reason}); ${megabytes(partial.size)}${of} are kept: try again to continue there`,
  );
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
