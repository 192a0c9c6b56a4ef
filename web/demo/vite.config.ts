import { readFileSync } from 'node:fs';
import { defineConfig, type Plugin } from 'vite';

const isolation = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

/** Writes the service worker with the list of files that make the app work offline. */
function serviceWorker(): Plugin {
  return {
    name: 'nearside-service-worker',
    apply: 'build',
    generateBundle(_options, bundle) {
      const shell = ['./', './manifest.webmanifest', './icon.svg', ...Object.keys(bundle).map((name) => `./${name}`)];
      const files = shell.filter((name) => !name.endsWith('.map') && name !== './index.html');
      const source = readFileSync(new URL('./service-worker.js', import.meta.url), 'utf8');
      this.emitFile({
        type: 'asset',
        fileName: 'service-worker.js',
        source: source.replace('/* SHELL */ []', JSON.stringify(files.sort())),
      });
    },
  };
}

export default defineConfig({
  base: './',
  build: { target: 'es2022', assetsInlineLimit: 0 },
  // The package's worker and wasm are found by `import.meta.url`, which the optimizer would move.
  optimizeDeps: { exclude: ['nearside'] },
  worker: { format: 'es' },
  plugins: [serviceWorker()],
  server: { headers: isolation },
  preview: { headers: isolation },
});
