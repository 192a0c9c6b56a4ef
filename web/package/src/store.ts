import { NearsideError } from './errors.js';
import { findFile, modelDirectory, removeFile } from './opfs.js';
import type { ModelSpec, StoredModel } from './types.js';

/** The names of a model's files, all made from its hash: whole, in part, and what is known about it. */
export function fileNames(sha256: string): { whole: string; part: string; note: string } {
  return { whole: `${sha256}.gguf`, part: `${sha256}.part`, note: `${sha256}.json` };
}

/** The hash a spec names, in lower case. */
export function hashOf(spec: { sha256: string }): string {
  const sha256 = String(spec.sha256).toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(sha256)) {
    throw new NearsideError(
      'invalid_request',
      `\`sha256\` must be the file's SHA-256 as 64 hexadecimal digits, not "${String(spec.sha256)}"`,
    );
  }
  return sha256;
}

async function sizeOf(directory: FileSystemDirectoryHandle, name: string): Promise<number | null> {
  const file = await findFile(directory, name);
  return file ? (await file.getFile()).size : null;
}

/** What the store holds of a model. */
export async function stateOf(sha256: string): Promise<{ stored: number; complete: boolean }> {
  const directory = await modelDirectory();
  const names = fileNames(sha256);
  const whole = await sizeOf(directory, names.whole);
  if (whole !== null) {
    return { stored: whole, complete: true };
  }
  return { stored: (await sizeOf(directory, names.part)) ?? 0, complete: false };
}

/** Removes a model, whole or in part. */
export async function removeModel(sha256: string): Promise<void> {
  const directory = await modelDirectory();
  const names = fileNames(sha256);
  await removeFile(directory, names.whole);
  await removeFile(directory, names.part);
  await removeFile(directory, names.note);
}

/** Every model of which there is something in the store. */
export async function listModels(): Promise<StoredModel[]> {
  const directory = await modelDirectory();
  const models: StoredModel[] = [];
  for await (const name of directory.keys()) {
    const sha256 = name.endsWith('.json') ? name.slice(0, -'.json'.length) : '';
    if (!/^[0-9a-f]{64}$/.test(sha256)) {
      continue;
    }
    const note = await findFile(directory, name);
    const spec = note ? parseNote(await (await note.getFile()).text(), sha256) : null;
    if (spec) {
      models.push({
        id: spec.id ?? sha256,
        name: spec.name ?? spec.id ?? sha256,
        url: spec.url,
        sha256,
        bytes: spec.bytes ?? null,
        ...(await stateOf(sha256)),
      });
    }
  }
  return models.sort((left, right) => left.name.localeCompare(right.name));
}

function parseNote(text: string, sha256: string): ModelSpec {
  // A note that a crash left half written costs the model's name, not the model.
  try {
    return { ...(JSON.parse(text) as ModelSpec), sha256 };
  } catch {
    return { url: '', sha256 };
  }
}
