import { type BuildName, canShareMemory, chooseBuild } from './builds.js';

/** What this page can do. */
export interface Environment {
  /** Whether the browser offers WebGPU at all; whether an adapter is there is known after loading. */
  webgpu: boolean;
  /** Whether the page is cross-origin isolated, which threads need. Without it all works on one thread. */
  isolated: boolean;
  /** The build of the engine that this page runs. */
  build: BuildName;
  /** Whether models can be kept on this device. */
  storage: boolean;
  /** What is missing, each with its remedy, for people. */
  notices: string[];
}

/** Looks at the page it runs in. */
export function environment(): Environment {
  const webgpu = 'gpu' in navigator && Boolean(navigator.gpu);
  const isolated = canShareMemory();
  const storage = typeof navigator.storage?.getDirectory === 'function';
  const notices: string[] = [];
  if (!isolated) {
    notices.push(
      'This page is not cross-origin isolated, so the engine runs on one thread. ' +
        'Serve it with Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp.',
    );
  }
  if (!webgpu) {
    notices.push('This browser offers no WebGPU, so the engine runs on the CPU.');
  }
  if (!storage) {
    notices.push(
      'This browser keeps no private files for this page, so models cannot be stored; open one from disk instead.',
    );
  }
  return { webgpu, isolated, build: chooseBuild(), storage, notices };
}
