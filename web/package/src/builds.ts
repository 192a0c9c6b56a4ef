// The builds of the engine and which of them a page can run. wasm-pack.toml says how each is compiled.

/** A build of the engine; the page takes the best that the browser can run, and downloads no other. */
export type BuildName = 'simd' | 'relaxed' | 'threads' | 'threads-relaxed';

/** What all builds offer. */
export type EngineModule = typeof import('./engine.js');

/** One line for each, because bundlers read them. */
const LOADERS: Record<BuildName, () => Promise<EngineModule>> = {
  simd: () => import('./wasm/simd/nearside-simd.js'),
  relaxed: () => import('./wasm/relaxed/nearside-relaxed.js'),
  threads: () => import('./wasm/threads/nearside-threads.js'),
  'threads-relaxed': () => import('./wasm/threads-relaxed/nearside-threads-relaxed.js'),
};

/** Brings the JavaScript of a build; its module is fetched when that is called. */
export function importBuild(build: BuildName): Promise<EngineModule> {
  return LOADERS[build]();
}

/** A module whose one function multiplies and adds bytes the relaxed way. */
const RELAXED = new Uint8Array(
  [
    [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    // One type: nothing to a vector. One function of it.
    [1, 5, 1, 0x60, 0, 1, 0x7b],
    [3, 2, 1, 0],
    // Three vectors of zeros, i32x4.relaxed_dot_i8x16_i7x16_add_s, end.
    [10, 19, 1, 17, 0, 0x41, 0, 0xfd, 15, 0x41, 0, 0xfd, 15, 0x41, 0, 0xfd, 15, 0xfd, 0x93, 2, 0x0b],
  ].flat(),
);

/** Whether threads can share a memory here. */
export function canShareMemory(): boolean {
  return globalThis.crossOriginIsolated === true && typeof SharedArrayBuffer === 'function';
}

/** The best build that this browser can run on this page. */
export function chooseBuild(): BuildName {
  const relaxed = WebAssembly.validate(RELAXED);
  if (canShareMemory()) {
    return relaxed ? 'threads-relaxed' : 'threads';
  }
  return relaxed ? 'relaxed' : 'simd';
}

/** The build that differs only in having one thread; `null` for one that has. */
export function withoutThreads(build: BuildName): BuildName | null {
  switch (build) {
    case 'threads':
      return 'simd';
    case 'threads-relaxed':
      return 'relaxed';
    default:
      return null;
  }
}
