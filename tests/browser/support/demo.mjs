// Uses the demo as a person would: by its buttons, its slider and its dialog.

// A busy machine with a large upstream model takes its time.
const ANSWERING = { timeout: 600_000 };

/** Opens the demo and waits until its first model answers. */
export async function openDemo(browser, url) {
  const page = await browser.page();
  await page.goto(url);
  const get = page.locator('#empty button');
  const ready = page.locator('#send:enabled');
  await get.or(ready).first().waitFor();
  if (await get.isVisible()) {
    await get.click();
  }
  await ready.waitFor();
  return page;
}

/** Asks a question and waits for the end of its answer; `onConsent` is called with the dialog when it opens. */
export async function ask(page, question, onConsent = null) {
  const answers = page.locator('.message.assistant');
  const index = await answers.count();
  await page.fill('#prompt', question);
  await page.click('#send');
  const answer = answers.nth(index);
  await answer.waitFor();
  const dialog = page.locator('#consent[open]');
  const finished = page.locator('#send:visible');
  await dialog.or(finished).first().waitFor(ANSWERING);
  let consent = null;
  if (await dialog.isVisible()) {
    consent = { body: await page.locator('#consent-body').textContent() };
    await onConsent?.(page);
  }
  await finished.waitFor(ANSWERING);
  return {
    text: await answer.locator('.text').textContent(),
    side: await answer.getAttribute('data-side'),
    speed: await textContent(answer.locator('.speed')),
    why: await textContent(answer.locator('.why p')),
    problem: await textContent(answer.locator('.problem')),
    consent,
  };
}

async function textContent(locator) {
  return (await locator.count()) > 0 ? locator.first().textContent() : '';
}

/** Moves the threshold with its slider. */
export async function setThreshold(page, value) {
  await page.locator('#threshold').fill(String(value));
}
