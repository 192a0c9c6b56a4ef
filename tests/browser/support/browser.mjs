// Debian's Chromium, driven by playwright-core, with a record of every request that anything in it makes.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

// Playwright reports what a service worker fetches only when asked to.
process.env.PW_EXPERIMENTAL_SERVICE_WORKER_NETWORK_EVENTS = '1';
const { chromium } = await import('playwright-core');

/** The browser's program. */
export const CHROMIUM = process.env.NEARSIDE_CHROMIUM ?? '/usr/bin/chromium';

/** Starts a browser with an empty profile; `webgpu` gives it the software adapter. */
export async function launch({ webgpu = true, viewport = { width: 1280, height: 800 }, colorScheme = 'light' } = {}) {
  const profile = await mkdtemp(path.join(tmpdir(), 'nearside-chromium-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    headless: true,
    viewport,
    colorScheme,
    args: [
      '--no-sandbox',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      ...(webgpu ? ['--enable-unsafe-webgpu'] : []),
    ],
  });
  const requests = [];
  context.on('request', (request) => requests.push({ method: request.method(), url: request.url() }));
  return {
    context,
    /** The profile's folder, which every process of this browser names. */
    profile,
    /** Every request so far, of pages, workers and service workers. */
    requests,
    /** The hosts asked so far. */
    hosts: () => new Set(requests.filter(({ url }) => url.startsWith('http')).map(({ url }) => new URL(url).host)),
    /** A new page that passes its errors on to this process. */
    async page() {
      const page = await context.newPage();
      page.setDefaultTimeout(120_000);
      page.on('console', (message) => {
        if (message.type() === 'error') {
          console.error(`page: ${message.text()}`);
        }
      });
      page.on('pageerror', (error) => console.error(`page: ${error}`));
      return page;
    },
    async close() {
      await context.close();
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
