// A dedicated worker that makes ready to load a model, and when it is told to loads it and says how long that took until
// the first weight: the file's table, the graph, the vocabulary and the chat template.
import { chooseBuild, importBuild } from '/package/builds.js';

/** Opens a file; the handle of a worker that was ended closes a moment later. */
async function open(file, mode) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await file.createSyncAccessHandle({ mode });
    } catch (error) {
      if (attempt === 50) {
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** The model's file among the page's private files; the first worker brings it there. */
async function stored({ name, url, bytes }) {
  const root = await navigator.storage.getDirectory();
  const file = await root.getFileHandle(name, { create: true });
  if ((await file.getFile()).size !== bytes) {
    const handle = await open(file, 'readwrite');
    let at = 0;
    for await (const piece of (await fetch(url)).body) {
      at += handle.write(piece, { at });
    }
    handle.close();
  }
  return open(file, 'read-only');
}

async function prepare(model) {
  const build = chooseBuild();
  const engine = await importBuild(build);
  await engine.default();
  const source = engine.Source.fromHandle(await stored(model));
  return async () => {
    const started = performance.now();
    let taken = null;
    const host = {
      progress() {
        taken ??= performance.now() - started;
      },
      startThreads: async () => 1,
      deviceChanged() {},
    };
    await engine.Engine.load(source, { backend: 'cpu', gpu_without: [], context: 256, cache: 'f16' }, host);
    return { taken, build, memory: engine.memoryBytes() };
  };
}

let go;
self.onmessage = async ({ data }) => {
  try {
    if (data) {
      go = await prepare(data);
      postMessage({ ready: true });
    } else {
      postMessage(await go());
    }
  } catch (error) {
    postMessage({ error: String(error) });
  }
};
