// Makes docs/screenshot.png: the demo in mid-conversation, one answer near and one far. The near answer is the small
// model's own; a stub stands in for the Worker.
import path from 'node:path';
import { launch } from './support/browser.mjs';
import { ask, openDemo, setThreshold } from './support/demo.mjs';
import { farStub } from './support/far-stub.mjs';
import { DOCS, modelFile, SMALL_MODEL, serveDemo } from './support/fixtures.mjs';

const far = await farStub({
  answer:
    'Suppose there were only finitely many primes p₁, …, pₙ. The number p₁ · … · pₙ + 1 leaves the remainder 1 ' +
    'when divided by any of them, so it has a prime factor that is not on the list. The list was never complete.',
});
const server = await serveDemo({ models: [modelFile(SMALL_MODEL)], worker: far.config });
const browser = await launch({ viewport: { width: 1280, height: 800 } });
try {
  const page = await openDemo(browser, server.url);
  await setThreshold(page, 1);
  await ask(page, 'What is the capital of France?');
  await setThreshold(page, 0.15);
  await ask(page, 'Prove that there are infinitely many primes.', () => page.click('#consent-send'));
  await page.screenshot({ path: path.join(DOCS, 'screenshot.png') });
} finally {
  await browser.close();
  await server.close();
  await far.close();
}
