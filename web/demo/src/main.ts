import { environment, models } from 'nearside';
import { App } from './app';
import { readConfig } from './config';
import { byId } from './dom';
import { showEnvironment, showError } from './notices';
import { bindPolicy } from './policy';
import { showChat } from './views/chat';
import { showCrossings } from './views/crossings';
import { showModels } from './views/models';

const PAGES = ['chat', 'models', 'crossings'];

/** Shows the page that the address names and lets the others rest. */
function route(refresh: Record<string, () => void>): void {
  const asked = location.hash.slice(1);
  const current = PAGES.includes(asked) ? asked : 'chat';
  for (const page of PAGES) {
    byId(`page-${page}`, HTMLElement).hidden = page !== current;
    const link = document.querySelector(`nav a[href="#${page}"]`);
    if (page === current) {
      link?.setAttribute('aria-current', 'page');
    } else {
      link?.removeAttribute('aria-current');
    }
  }
  refresh[current]?.();
}

async function start(): Promise<void> {
  if ('serviceWorker' in navigator && import.meta.env.PROD) {
    // It keeps the one build of the engine that this browser uses.
    navigator.serviceWorker.register(`./service-worker.js?build=${environment().build}`).catch(showError);
  }
  showEnvironment();
  bindPolicy();
  const app = new App(await readConfig());
  const modelPage = showModels(app);
  const refresh = { chat: showChat(app, modelPage.load), models: modelPage.refresh, crossings: showCrossings() };
  window.addEventListener('hashchange', () => route(refresh));
  route(refresh);
  byId('status', HTMLElement).textContent = 'No model loaded';
  // What is already here needs no download, so it needs no click either.
  for (const model of app.config.models) {
    if (await models.has(model).catch(() => false)) {
      await modelPage.load(model);
      break;
    }
  }
}

start().catch((error: unknown) => {
  route({});
  byId('status', HTMLElement).textContent = 'Not ready';
  showError(error);
});
