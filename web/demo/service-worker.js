// Keeps the app itself on the device, so that it opens offline. Models are not its business: the page keeps
// them, verified, in its private files. Cached answers keep their headers, so the page stays isolated.

const SHELL = /* SHELL */ [];
// The engine comes in several builds, of which a browser uses one. Their files' names end in eight letters of a hash.
const BUILD_OF = /nearside-([a-z-]+?)(?:_bg)?-[\w-]{8}\.(?:js|wasm)$/;
const BUILD = new URL(self.location.href).searchParams.get('build');
const CACHE = `nearside-${SHELL.join('|')}`;
const CONFIG = './nearside.json';

self.addEventListener('install', (event) => {
  event.waitUntil(keepShell().then(() => self.skipWaiting()));
});

self.addEventListener('activate', (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== 'GET' || url.origin !== self.location.origin || request.headers.has('range')) {
    return;
  }
  const path = new URL(request.url).href.replace(/[?#].*$/, '');
  if (request.mode === 'navigate' || path.endsWith('/nearside.json')) {
    event.respondWith(freshOrKept(request));
  } else if (SHELL.some((name) => new URL(name, self.location.href).href === path)) {
    event.respondWith(keptOrFresh(request));
  }
});

/** Keeps what the app opens with, its configuration included: the first visit has read it past this worker. */
async function keepShell() {
  const cache = await caches.open(CACHE);
  await cache.addAll(SHELL.filter((name) => (BUILD_OF.exec(name)?.[1] ?? BUILD) === BUILD));
  const config = await fetch(CONFIG, { cache: 'no-store' });
  if (config.ok) {
    await cache.put(CONFIG, config);
  }
}

async function freshOrKept(request) {
  const cache = await caches.open(CACHE);
  const key = request.mode === 'navigate' ? './' : request;
  try {
    const response = await fetch(request);
    if (response.ok) {
      await cache.put(key, response.clone());
    }
    return response;
  } catch (error) {
    const kept = await cache.match(key);
    if (kept) {
      return kept;
    }
    throw error;
  }
}

async function keptOrFresh(request) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(request, { ignoreSearch: true });
  if (kept) {
    return kept;
  }
  const response = await fetch(request);
  if (response.ok) {
    await cache.put(request, response.clone());
  }
  return response;
}
