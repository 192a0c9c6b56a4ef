import { type ModelSpec, models, type Progress, type StoredModel } from 'nearside';
import { type App, describeProgress } from '../app';
import type { CatalogueModel } from '../config';
import { button, byId, make } from '../dom';
import { bytes } from '../format';
import { showError } from '../notices';

/** What other pages may do with models. */
export interface ModelPage {
  refresh: () => void;
  /** Downloads a model unless it is here, and loads it. */
  load: (model: CatalogueModel | File) => Promise<void>;
}

/** Binds the page of models. */
export function showModels(app: App): ModelPage {
  const list = byId('model-list', HTMLElement);
  /** Work under way, by the model's hash. */
  const busy = new Map<string, { progress: Progress | null; stop: () => void }>();

  const refresh = () => {
    render(app, list, busy, actions).catch(showError);
  };

  const report = (sha256: string, progress: Progress) => {
    const work = busy.get(sha256);
    if (work) {
      work.progress = progress;
      updateProgress(list, sha256, progress);
    }
  };

  const load = async (model: CatalogueModel | ModelSpec | File) => {
    const key = model instanceof File ? '' : model.sha256;
    busy.set(key, { progress: null, stop: () => app.cancelLoading() });
    refresh();
    try {
      await app.load(model, (progress) => report(key, progress));
    } catch (error) {
      showError(error);
    } finally {
      busy.delete(key);
      refresh();
    }
  };

  const actions = {
    load: (model: ModelSpec) => void load(model),
    async download(model: ModelSpec) {
      const controller = new AbortController();
      busy.set(model.sha256, { progress: null, stop: () => controller.abort() });
      refresh();
      try {
        await models.download(model, {
          onProgress: (progress) => report(model.sha256, progress),
          signal: controller.signal,
        });
      } catch (error) {
        showError(error);
      } finally {
        busy.delete(model.sha256);
        refresh();
      }
    },
    async remove(model: ModelSpec) {
      await models.remove(model).catch(showError);
      refresh();
    },
  };

  byId('file', HTMLInputElement).addEventListener('change', (event) => {
    const input = event.target as HTMLInputElement;
    const file = input.files?.[0];
    input.value = '';
    if (file) {
      void load(file);
    }
  });
  app.onChange(() => {
    const model = app.near?.model;
    byId('backend-state', HTMLElement).textContent = model
      ? `${model.backend.device}: ${model.choice}.`
      : 'Takes effect when a model is loaded.';
    refresh();
  });
  return { refresh, load };
}

interface Actions {
  load(model: ModelSpec): void;
  download(model: ModelSpec): Promise<void>;
  remove(model: ModelSpec): Promise<void>;
}

async function render(
  app: App,
  list: HTMLElement,
  busy: Map<string, { progress: Progress | null; stop: () => void }>,
  actions: Actions,
): Promise<void> {
  const stored = await models.list().catch(() => [] as StoredModel[]);
  const known = new Set(app.config.models.map((model) => model.sha256));
  const extra = stored.filter((model) => !known.has(model.sha256));
  const entries = [...app.config.models, ...extra].map((model) => {
    const here = stored.find((one) => one.sha256 === model.sha256);
    const spec: ModelSpec = {
      id: model.id,
      name: model.name,
      url: model.url,
      sha256: model.sha256,
      ...(model.bytes === null ? {} : { bytes: model.bytes }),
    };
    return card(spec, here, app.near?.model.id === model.id, busy.get(model.sha256), actions);
  });
  list.replaceChildren(...entries);
}

function card(
  model: ModelSpec,
  stored: StoredModel | undefined,
  loaded: boolean,
  work: { progress: Progress | null; stop: () => void } | undefined,
  actions: Actions,
): HTMLElement {
  const name = model.name ?? model.url;
  const buttons = make('div', { class: 'actions' });
  if (work) {
    buttons.append(button('Cancel', work.stop));
  } else if (stored?.complete) {
    buttons.append(
      loaded ? make('span', { class: 'badge near' }, 'Loaded') : button('Load', () => actions.load(model), 'primary'),
    );
    buttons.append(button('Remove', () => void actions.remove(model)));
  } else {
    buttons.append(button(stored?.stored ? 'Continue' : 'Download', () => void actions.download(model), 'primary'));
    if (stored) {
      buttons.append(button('Remove', () => void actions.remove(model)));
    }
  }
  for (const each of buttons.querySelectorAll('button')) {
    each.setAttribute('aria-label', `${each.textContent} ${name}`);
  }
  const entry = make(
    'li',
    { class: 'card', 'data-model': model.sha256 },
    make('div', { class: 'what' }, make('h3', {}, name), make('p', { class: 'hint' }, stateOf(model, stored))),
    buttons,
    make('progress', { 'aria-label': `Progress of ${name}`, max: '1' }),
  );
  showProgress(entry, work ? work.progress : undefined);
  return entry;
}

function stateOf(model: ModelSpec, stored: StoredModel | undefined): string {
  const size = model.bytes === undefined ? '' : bytes(model.bytes);
  if (stored?.complete) {
    return `${bytes(stored.stored)}, on this device`;
  }
  return stored?.stored ? `${bytes(stored.stored)} of ${size || 'an unknown size'} are here` : size;
}

function updateProgress(list: HTMLElement, sha256: string, progress: Progress): void {
  const entry = list.querySelector<HTMLElement>(`[data-model="${CSS.escape(sha256)}"]`);
  if (entry) {
    showProgress(entry, progress);
  }
}

function showProgress(entry: HTMLElement, progress: Progress | null | undefined): void {
  const bar = entry.querySelector('progress');
  if (!bar) {
    return;
  }
  bar.hidden = progress === undefined;
  if (progress?.total) {
    bar.value = progress.done / progress.total;
    const hint = entry.querySelector('.hint');
    if (hint) {
      hint.textContent = `${describeProgress(progress)} · ${bytes(progress.done)} of ${bytes(progress.total)}`;
    }
  } else {
    bar.removeAttribute('value');
  }
}
