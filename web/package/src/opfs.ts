import { NearsideError } from './errors.js';

/** A file that is read and written synchronously; only dedicated workers have it. */
export interface SyncAccessHandle {
  read(buffer: Uint8Array, options?: { at?: number }): number;
  write(buffer: Uint8Array, options?: { at?: number }): number;
  truncate(size: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}

type SyncCapable = FileSystemFileHandle & {
  createSyncAccessHandle(options?: { mode: 'readwrite' | 'read-only' }): Promise<SyncAccessHandle>;
};

/** Opens a file for synchronous use; several readers may share it, a writer may not. */
export async function openSync(file: FileSystemFileHandle, mode: 'readwrite' | 'read-only'): Promise<SyncAccessHandle> {
  try {
    return await (file as SyncCapable).createSyncAccessHandle({ mode });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'NoModificationAllowedError') {
      throw new NearsideError(
        'storage_busy',
        `the model file ${file.name} is in use, probably by another tab; close that tab or wait for its download`,
      );
    }
    throw error;
  }
}

/** The directory of models, made when it is not there. */
export async function modelDirectory(): Promise<FileSystemDirectoryHandle> {
  if (typeof navigator.storage?.getDirectory !== 'function') {
    throw new NearsideError(
      'storage_unavailable',
      'this browser keeps no private files for this page; pass a File to `model` instead, or leave private browsing',
    );
  }
  try {
    const root = await navigator.storage.getDirectory();
    const own = await root.getDirectoryHandle('nearside', { create: true });
    return await own.getDirectoryHandle('models', { create: true });
  } catch (error) {
    throw new NearsideError('storage_unavailable', `the page's private files cannot be opened: ${String(error)}`);
  }
}

/** The file of that name, or `null`. */
export async function findFile(
  directory: FileSystemDirectoryHandle,
  name: string,
): Promise<FileSystemFileHandle | null> {
  try {
    return await directory.getFileHandle(name);
  } catch (error) {
    if (error instanceof DOMException && error.name === 'NotFoundError') {
      return null;
    }
    throw error;
  }
}

/** Removes a file; one that is not there is already removed. */
export async function removeFile(directory: FileSystemDirectoryHandle, name: string): Promise<void> {
  try {
    await directory.removeEntry(name);
  } catch (error) {
    if (error instanceof DOMException && error.name === 'NotFoundError') {
      return;
    }
    if (error instanceof DOMException && error.name === 'NoModificationAllowedError') {
      throw new NearsideError(
        'storage_busy',
        `the model file ${name} is in use; first close what has it loaded, here or in another tab`,
      );
    }
    throw error;
  }
}
