// Drives a running demo (site, Worker, upstream) through one near answer and one crossing.
// Usage: node demo-check.mjs SITE_URL
// Exits 0 only if both came and nothing left for anywhere before consent.
import { launch } from './support/browser.mjs';
import { ask, openDemo, setThreshold } from './support/demo.mjs';

const PLAIN = 'Tell me in two sentences what makes bread rise.';
const FORCED = 'I am ada@example.org. Which planet is closest to the sun? Answer with one word.';

const site = process.argv[2];
if (!site?.startsWith('http')) {
  console.error('usage: node demo-check.mjs SITE_URL, for example http://127.0.0.1:8080');
  process.exit(2);
}

/** Ends the check with what was found instead. */
function expect(holds, otherwise) {
  if (!holds) {
    throw new Error(otherwise);
  }
}

function transcript(title, question, answer) {
  console.log(`--- ${title}`);
  console.log(`user: ${question}`);
  console.log(`${answer.side ?? 'nobody'}: ${answer.text}`);
  console.log(`speed: ${answer.speed || 'unknown'}`);
  console.log(`why: ${answer.why}`);
  if (answer.problem) {
    console.log(`problem: ${answer.problem}`);
  }
}

/** In the page: how many lengths the first answer had while it grew. */
async function stepsOfFirstAnswer() {
  const lengths = new Set();
  for (;;) {
    const answer = document.querySelector('.message.assistant');
    const length = answer?.querySelector('.text').textContent.length ?? 0;
    if (length > 0) {
      lengths.add(length);
    }
    if (answer && !answer.hasAttribute('aria-busy')) {
      return lengths.size;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const browser = await launch();
try {
  const own = new URL(site).host;
  const strangers = () => [...browser.hosts()].filter((host) => host !== own);
  const page = await openDemo(browser, site);
  expect(await page.evaluate(() => crossOriginIsolated), 'the page is not cross-origin isolated');
  // A tiny model is unsure of much; here only the forced question shall cross.
  await setThreshold(page, 1);

  const steps = page.evaluate(stepsOfFirstAnswer);
  const near = await ask(page, PLAIN);
  transcript('near', PLAIN, near);
  expect(near.side === 'near', `the plain question was answered by ${near.side}`);
  expect(near.text.trim() !== '' && near.problem === '', 'the near answer is empty or failed');
  expect(/tokens\/s/.test(near.speed), 'the near answer shows no tokens per second');
  expect((await steps) > 2, `the near answer came in ${await steps} pieces; it was not streamed`);

  await setThreshold(page, 0);
  let before = [];
  const far = await ask(page, FORCED, async () => {
    before = strangers();
    await page.click('#consent-send');
  });
  transcript('far, after consent', FORCED, far);
  expect(far.consent !== null, 'nobody was asked for consent');
  expect(before.length === 0, `before consent something was sent to ${before.join(', ')}`);
  expect(!far.consent.body.includes('ada@example.org'), 'the address was not redacted');
  expect(
    far.side === 'far' && far.text.trim() !== '' && far.problem === '',
    'the forced question was not answered far',
  );
  const crossed = strangers();
  expect(crossed.length === 1, `the page talked to ${crossed.join(', ') || 'nobody'}; only the Worker was expected`);

  await page.click('nav a[href="#crossings"]');
  await page.locator('.receipt').first().waitFor();
  const receipts = await page.locator('.receipt').count();
  expect(receipts === 1, `the ledger holds ${receipts} receipts; one was expected`);
  console.log(`--- ${browser.requests.length} requests recorded: ${own} before consent, ${crossed[0]} after it`);
  console.log('demo check passed');
} catch (error) {
  console.error(`demo check failed: ${error.message}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
