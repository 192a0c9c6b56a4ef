// Makes docs/screenshot.png: the demo in mid-conversation, one answer near and one far.
// Usage: node screenshot.mjs [SITE_URL]
// With the address of a running demo both answers are its own; without one a stub stands in for the Worker and is
// named as such in the picture.
import path from 'node:path';
import { launch } from './support/browser.mjs';
import { ask, openDemo, setThreshold } from './support/demo.mjs';
import { farStub } from './support/far-stub.mjs';
import { DOCS, modelFile, SMALL_MODEL, serveDemo } from './support/fixtures.mjs';

const EASY = 'What is the capital of France? Answer with one word.';
const HARD =
  'I am ada@example.org. Greet me, and write a Python function that tells whether a number is even, in two lines.';

async function standIn() {
  const far = await farStub({ answer: 'This is a stand-in for the far side. I will write to [[EMAIL_1]].' });
  const server = await serveDemo({ models: [modelFile(SMALL_MODEL)], worker: far.config });
  return { url: server.url, close: () => Promise.all([server.close(), far.close()]) };
}

const site = process.argv[2] ? { url: process.argv[2], close: async () => {} } : await standIn();
const browser = await launch({ viewport: { width: 1280, height: 800 } });
try {
  const page = await openDemo(browser, site.url);
  await setThreshold(page, 1);
  await ask(page, EASY);
  await setThreshold(page, 0.15);
  await ask(page, HARD, () => page.click('#consent-send'));
  await page.mouse.move(640, 500);
  await page.locator('#prompt').blur();
  await page.screenshot({ path: path.join(DOCS, 'screenshot.png') });
} finally {
  await browser.close();
  await site.close();
}
