import { type BackendChoice, type ModelSpec, Nearside, type Progress } from 'nearside';
import type { Config } from './config';
import { askConsent } from './consent';
import { byId } from './dom';
import { policy } from './policy';

/** What all pages share: the configuration and the loaded model. */
export class App {
  readonly config: Config;
  /** The loaded model, if there is one. */
  near: Nearside | null = null;
  #name = '';
  readonly #listeners: (() => void)[] = [];
  #loading: AbortController | null = null;

  constructor(config: Config) {
    this.config = config;
  }

  /** Calls `listener` whenever another model is there, or none. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Loads a model in place of the one there is. */
  async load(model: ModelSpec | File, onProgress: (progress: Progress) => void): Promise<void> {
    this.cancelLoading();
    const controller = new AbortController();
    this.#loading = controller;
    const backend = byId('backend', HTMLSelectElement).value as BackendChoice;
    this.#status('Loading…');
    try {
      // Two models at once may be more than the device holds.
      this.near?.unload();
      this.near = null;
      const near = await Nearside.load({
        model,
        backend,
        far: this.config.worker,
        onConsent: askConsent,
        onProgress: (progress) => {
          this.#status(describeProgress(progress));
          onProgress(progress);
        },
        signal: controller.signal,
      });
      near.policy = policy;
      this.near = near;
      // The catalogue's name is kinder than the one that a file gives itself.
      this.#name = (model instanceof File ? near.model.name : model.name) || near.model.id;
    } finally {
      if (this.#loading === controller) {
        this.#loading = null;
      }
      this.#changed();
    }
  }

  /** Stops a load under way. */
  cancelLoading(): void {
    this.#loading?.abort();
  }

  #changed(): void {
    const model = this.near?.model;
    this.#status(model ? `${this.#name} on ${model.backend.kind.toUpperCase()}` : 'No model loaded');
    for (const listener of this.#listeners) {
      listener();
    }
  }

  #status(text: string): void {
    byId('status', HTMLElement).textContent = text;
  }
}

/** Progress in words. */
export function describeProgress({ phase, done, total }: Progress): string {
  const verb = { download: 'Downloading', verify: 'Checking', load: 'Loading' }[phase];
  return total ? `${verb} ${Math.floor((100 * done) / total)}%` : `${verb}…`;
}
