// The built demo, used by its own controls. A stub stands in for the Worker.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CHROMIUM, launch } from './support/browser.mjs';
import { ask, openDemo, setThreshold } from './support/demo.mjs';
import { farStub } from './support/far-stub.mjs';
import { DEMO, missing, modelFile, SMALL_MODEL, serveDemo } from './support/fixtures.mjs';

const MODEL = modelFile(SMALL_MODEL);
const skip = missing(CHROMIUM, `${DEMO}/index.html`, MODEL);
const QUESTION = 'What is the capital of France? Answer with one word.';

describe('demo', { skip }, () => {
  let server;
  let far;
  let browser;
  let page;

  before(async () => {
    far = await farStub({ answer: 'Paris, says the far side.' });
    server = await serveDemo({ models: [MODEL], worker: far.config });
    browser = await launch();
    page = await openDemo(browser, server.url);
  });
  after(async () => {
    await browser?.close();
    await server?.close();
    await far?.close();
  });

  test('the page is isolated and has nothing to complain of', async () => {
    assert.equal(await page.evaluate(() => crossOriginIsolated), true);
    assert.equal(await page.locator('#notices p').count(), 0);
  });

  test('answers near and says so', async () => {
    await setThreshold(page, 1);
    const answer = await ask(page, QUESTION);
    assert.equal(answer.side, 'near');
    assert.ok(answer.text.length > 0);
    assert.match(answer.speed, /tokens\/s/);
    assert.ok(answer.why.length > 0);
    assert.equal(far.bodies.length, 0);
  });

  test('the consent dialog opens on its safe button, and Escape keeps the question near', async () => {
    await setThreshold(page, 0);
    const answer = await ask(page, QUESTION, async () => {
      assert.equal(await page.evaluate(() => document.activeElement?.id), 'consent-decline');
      await page.keyboard.press('Escape');
    });
    assert.equal(answer.side, 'near');
    assert.equal(far.bodies.length, 0);
  });

  test('consent by keyboard sends, and the ledger shows the receipt', async () => {
    const answer = await ask(page, QUESTION, async () => {
      await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
    });
    assert.equal(answer.side, 'far');
    assert.equal(answer.text, 'Paris, says the far side.');
    await page.click('nav a[href="#crossings"]');
    await page.locator('.receipt').first().waitFor();
    assert.equal(await page.locator('.receipt').count(), 1);
    await page.click('#clear-receipts');
    await page.locator('.none').waitFor();
    await page.click('nav a[href="#chat"]');
  });

  test('an upstream that is down is one clear line, and the next question is answered', async () => {
    far.state.fail = 502;
    const failed = await ask(page, QUESTION, () => page.click('#consent-send'));
    assert.match(failed.problem, /upstream is down/);
    far.state.fail = null;
    await setThreshold(page, 1);
    const answer = await ask(page, QUESTION);
    assert.equal(answer.side, 'near');
  });

  test('the stop button stops', async () => {
    await page.click('#fresh');
    await page.fill('#prompt', 'Tell me a very long story about a fox.');
    await page.click('#send');
    // Pressed from inside the page: by the time this process noticed the first words, a short story could be over.
    await page.evaluate(async () => {
      while (!document.querySelector('.message.assistant .text')?.textContent) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      document.getElementById('stop').click();
    });
    await page.locator('#send:visible').waitFor();
    assert.match(await page.locator('.problem').textContent(), /Stopped/);
  });

  test('a bad file of one’s own is one clear line, and the kept model loads again', async () => {
    await page.click('nav a[href="#models"]');
    const bad = { name: 'notes.gguf', mimeType: 'application/octet-stream', buffer: Buffer.from('bread, milk, eggs') };
    await page.setInputFiles('#file', bad);
    await page.locator('#errors p').waitFor();
    assert.match(await page.locator('#errors p').textContent(), /GGUF|truncated|beyond/);
    await page.locator('#errors button').click();
    await page.getByRole('button', { name: /^Load / }).click();
    await page.getByText('Loaded', { exact: true }).waitFor();
  });

  test('opens and answers with the server gone', async () => {
    await page.evaluate(() => navigator.serviceWorker.ready);
    await page.reload();
    await server.close();
    await page.goto(`${server.url}/#chat`);
    await page.reload();
    await page.locator('#send:enabled').waitFor();
    assert.equal(await page.evaluate(() => crossOriginIsolated), true, 'kept answers keep their headers');
    await setThreshold(page, 1);
    const answer = await ask(page, QUESTION);
    assert.equal(answer.side, 'near');
    assert.ok(answer.text.length > 0);
  });
});
