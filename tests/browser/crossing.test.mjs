// Crossings: only after consent, redacted, with a receipt; and a far side that fails. A stub stands in for the Worker.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { CHROMIUM, launch } from './support/browser.mjs';
import { farStub } from './support/far-stub.mjs';
import { missing, modelFile, modelSpec, PACKAGE, SMALL_MODEL, servePackage } from './support/fixtures.mjs';
import { openPackage } from './support/page.mjs';

const MODEL = modelFile(SMALL_MODEL);
const skip = missing(CHROMIUM, `${PACKAGE}/wasm`, MODEL);
const SECRET = 'ada@example.org';
const QUESTION = [{ role: 'user', content: `What is the capital of France? Tell ${SECRET}.` }];

describe('crossing', { skip }, () => {
  let server;
  let far;
  let browser;
  let page;

  before(async () => {
    server = await servePackage();
    far = await farStub();
    browser = await launch({ webgpu: false });
    page = await openPackage(browser, server);
    const model = await modelSpec(server, MODEL);
    await page.evaluate(
      async ([model, far]) => {
        window.asked = [];
        window.consent = true;
        window.near = await nearside.Nearside.load({
          model,
          far,
          backend: 'cpu',
          onConsent: (request) => {
            asked.push(request);
            return consent;
          },
        });
      },
      [model, far.config],
    );
  });
  after(async () => {
    await browser?.close();
    await far?.close();
    await server?.close();
  });

  /** Asks with these extras; gives the answer, what consent was asked for, and the ledger. */
  const ask = (extras, consent = true) =>
    page.evaluate(
      async ([messages, extras, consent]) => {
        asked.length = 0;
        window.consent = consent;
        await near.receipts.clear();
        const outcome = await attempt(async () => {
          const request = { messages, stream: true, temperature: 0, max_tokens: 12, nearside: extras };
          return listen(await near.chat.completions.create(request));
        });
        return { ...outcome, asked: [...asked], receipts: await near.receipts.list() };
      },
      [QUESTION, extras, consent],
    );

  test('below the threshold nothing leaves, and nobody is asked', async () => {
    const { value, asked, receipts } = await ask({ mode: 'ask', threshold: 1 });
    assert.deepEqual(value.sides, ['near']);
    assert.equal(asked.length, 0);
    assert.equal(receipts.length, 0);
    assert.equal(far.bodies.length, 0);
    assert.ok(!browser.hosts().has(far.host));
  });

  test('a declined crossing is answered near, and nothing leaves', async () => {
    const { value, asked, receipts } = await ask({ mode: 'ask', threshold: 0 }, false);
    assert.equal(asked.length, 1);
    assert.deepEqual(value.sides, ['near']);
    assert.ok(value.text.length > 0);
    assert.match(value.note.reasons.join(' '), /declined/);
    assert.equal(receipts.length, 0);
    assert.equal(far.bodies.length, 0);
    assert.ok(!browser.hosts().has(far.host), 'not even a preflight left');
  });

  test('near-only never crosses, whatever the score', async () => {
    const { value, asked } = await ask({ mode: 'near-only', threshold: 0 });
    assert.deepEqual(value.sides, ['near']);
    assert.equal(asked.length, 0);
    assert.equal(far.bodies.length, 0);
  });

  test('the whole page has talked to its own host alone so far', () => {
    assert.deepEqual([...browser.hosts()], [new URL(server.url).host]);
    assert.ok(
      browser.requests.some(({ url }) => url.includes('/models/')),
      'the record sees what workers fetch, or it would prove nothing',
    );
  });

  test('after consent exactly the previewed body crosses, redacted, with a receipt', async () => {
    far.state.answer = 'Paris. I told [[EMAIL_1]] so.';
    const { value, asked, receipts } = await ask({ mode: 'ask', threshold: 0 });
    assert.deepEqual(value.sides, ['far']);
    assert.equal(value.text, `Paris. I told ${SECRET} so.`, 'placeholders are restored in the answer');
    assert.ok(browser.hosts().has(far.host), 'the record sees crossings, or it would prove nothing');
    assert.equal(asked.length, 1);
    const [preview] = asked;
    assert.equal(new URL(preview.destination).host, far.host);
    assert.equal(preview.redactions[0].value, SECRET);
    assert.equal(preview.bytes, Buffer.byteLength(preview.body));
    assert.deepEqual(far.bodies.at(-1), JSON.parse(preview.body), 'what was shown is what was sent');
    assert.ok(!JSON.stringify(far.bodies).includes(SECRET));
    assert.equal(receipts.length, 1);
    const [receipt] = receipts;
    assert.equal(receipt.id, value.note.receipt);
    assert.equal(receipt.outcome, 'answered');
    assert.equal(receipt.granted_by, 'consent');
    assert.equal(receipt.bytes, preview.bytes);
    assert.deepEqual(receipt.redactions, { email: 1 });
    assert.equal(receipt.completion_tokens, 6);
    assert.equal(receipt.cost_microdollars, 21);
    assert.ok(!JSON.stringify(receipts).includes('capital'), 'a receipt holds no text');
  });

  test('the policy auto is the consent, and its budget is kept', async () => {
    const before = far.bodies.length;
    const { value, asked, receipts } = await ask({ mode: 'auto', threshold: 0 });
    assert.deepEqual(value.sides, ['far']);
    assert.equal(asked.length, 0);
    assert.equal(receipts[0].granted_by, 'policy');
    const spent = await page.evaluate(
      (messages) =>
        near.chat.completions.create({
          messages,
          max_tokens: 8,
          nearside: { mode: 'auto', threshold: 0, budget: { crossings: 1 } },
        }),
      QUESTION,
    );
    assert.equal(spent.nearside.side, 'near');
    assert.match(spent.nearside.reasons.join(' '), /budget/);
    assert.equal(far.bodies.length, before + 1);
  });

  test('an upstream that is down, a wrong token and a cut answer are clear errors, and near goes on', async () => {
    far.state.fail = 502;
    const down = await ask({ mode: 'far-only' });
    assert.equal(down.error?.code, 'far_unavailable');
    assert.match(down.error.message, /upstream is down/);
    assert.equal(down.receipts[0].outcome, 'failed');
    far.state.fail = null;

    far.state.cut = true;
    const cut = await ask({ mode: 'far-only' });
    assert.equal(cut.error?.code, 'far_unavailable', JSON.stringify(cut));
    far.state.cut = false;

    await page.evaluate(() => {
      near.far = { ...near.far, token: 'wrong' };
    });
    const refused = await ask({ mode: 'far-only' });
    assert.equal(refused.error?.code, 'far_refused');

    await page.evaluate(() => {
      near.far = { url: 'http://127.0.0.1:9', token: 'demo' };
    });
    const unreachable = await ask({ mode: 'far-only' });
    assert.equal(unreachable.error?.code, 'far_unavailable');
    assert.match(unreachable.error.message, /cannot be reached/);

    const { value } = await ask({ mode: 'near-only' });
    assert.deepEqual(value.sides, ['near']);
  });

  test('a far answer can be stopped', async () => {
    const result = await page.evaluate(
      async ([messages, far]) => {
        near.far = far;
        const controller = new AbortController();
        const request = { messages, stream: true, nearside: { mode: 'far-only' } };
        return attempt(async () => {
          const stream = await near.chat.completions.create(request, { signal: controller.signal });
          await listen(stream, () => controller.abort());
        });
      },
      [QUESTION, far.config],
    );
    assert.equal(result.error?.code, 'aborted');
  });

  test('far-only without a far side is refused with its reason', async () => {
    const result = await page.evaluate(async (messages) => {
      near.far = null;
      return attempt(() => near.chat.completions.create({ messages, nearside: { mode: 'far-only' } }));
    }, QUESTION);
    assert.equal(result.error?.code, 'invalid_request');
    assert.match(result.error.message, /Worker/);
  });
});
