// Low-rank adapters: taken, used, swapped and removed while the model stays.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { CHROMIUM, launch } from './support/browser.mjs';
import { missing, modelFile, modelSpec, PACKAGE, SMALL_MODEL, servePackage } from './support/fixtures.mjs';
import { openPackage } from './support/page.mjs';

const MODEL = modelFile(SMALL_MODEL);
const skip = missing(CHROMIUM, `${PACKAGE}/wasm`, MODEL);
const WIDTH = 576;
const RANK = 4;

/** A change of the last attention's output, large enough to be heard; the seed tells one from another. */
function adapter(seed) {
  const pieces = [];
  const number = (value, bytes) => {
    const buffer = Buffer.alloc(bytes);
    if (bytes === 8) {
      buffer.writeBigUInt64LE(BigInt(value));
    } else {
      buffer.writeUInt32LE(value);
    }
    pieces.push(buffer);
  };
  const text = (value) => {
    number(value.length, 8);
    pieces.push(Buffer.from(value));
  };
  const texts = { 'general.type': 'adapter', 'adapter.type': 'lora', 'general.architecture': 'llama' };
  const halves = { a: [WIDTH, RANK], b: [RANK, WIDTH] };
  pieces.push(Buffer.from('GGUF'));
  number(3, 4);
  number(2, 8);
  number(Object.keys(texts).length, 8);
  for (const [key, value] of Object.entries(texts)) {
    text(key);
    number(8, 4);
    text(value);
  }
  let offset = 0;
  for (const [half, shape] of Object.entries(halves)) {
    text(`blk.29.attn_output.weight.lora_${half}`);
    number(shape.length, 4);
    for (const size of shape) {
      number(size, 8);
    }
    number(0, 4);
    number(offset, 8);
    offset += WIDTH * RANK * 4;
  }
  const table = Buffer.concat(pieces);
  let state = seed;
  const weights = Float32Array.from({ length: 2 * WIDTH * RANK }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state / 2 ** 31 - 1;
  });
  return Buffer.concat([table, Buffer.alloc(-table.length & 31), Buffer.from(weights.buffer)]);
}

describe('adapters', { skip }, () => {
  const files = { one: adapter(1), other: adapter(2) };
  const sha256 = createHash('sha256').update(files.one).digest('hex');
  let server;
  let browser;
  let page;

  before(async () => {
    server = await servePackage({ routes: { '/one.gguf': files.one, '/other.gguf': files.other } });
    browser = await launch({ webgpu: false });
    page = await openPackage(browser, server);
    await page.evaluate(
      async (model) => {
        window.near = await nearside.Nearside.load({ model, backend: 'cpu' });
        window.ask = async () => {
          const messages = [{ role: 'user', content: 'Name three colours.' }];
          const { choices } = await near.chat.completions.create({ messages, temperature: 0, max_tokens: 12 });
          return choices[0].message.content;
        };
      },
      await modelSpec(server, MODEL),
    );
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  test('an adapter changes answers while it is used, by its factor, and not before or after', async () => {
    const said = await page.evaluate(
      async ([sha256]) => {
        const said = { plain: await ask() };
        const one = await near.adapters.load({ url: '/one.gguf', sha256, name: 'One' });
        said.taken = await ask();
        await near.adapters.use(one);
        said.one = await ask();
        const other = await near.adapters.load(new File([await (await fetch('/other.gguf')).blob()], 'other.gguf'));
        said.names = [one.name, other.name];
        await near.adapters.use(other);
        said.other = await ask();
        await near.adapters.use({ adapter: one, factor: 0 });
        said.nothing = await ask();
        await near.adapters.use({ adapter: one, factor: 0.5 }, other);
        said.both = await ask();
        await near.adapters.use(one);
        said.again = await ask();
        await near.adapters.remove(one);
        said.removed = await ask();
        said.error = (await attempt(() => near.adapters.use(one))).error;
        await near.adapters.use();
        said.end = await ask();
        return said;
      },
      [sha256],
    );
    assert.deepEqual(said.names, ['One', 'other.gguf']);
    assert.equal(new Set([said.plain, said.one, said.other, said.both]).size, 4, JSON.stringify(said));
    for (const same of ['taken', 'nothing', 'removed', 'end']) {
      assert.equal(said[same], said.plain, same);
    }
    assert.equal(said.again, said.one);
    assert.equal(said.error?.code, 'invalid_request');
    assert.match(said.error.message, /load it again/);
  });

  test('what is no adapter of this model, or not the file asked for, is refused and changes nothing', async () => {
    const cases = [
      [{ url: '/one.gguf', sha256: '0'.repeat(64) }, 'model_hash_mismatch', /expected 0000/],
      [{ url: '/one.gguf', sha256: 'abc' }, 'invalid_request', /sha256/],
      [{ url: '/nowhere.gguf' }, 'download_refused', /404/],
      [{ url: '/blank.html' }, 'model_invalid', /./],
      [{ url: `/models/${SMALL_MODEL}` }, 'model_invalid', /adapter cannot be used/],
    ];
    for (const [spec, code, words] of cases) {
      const { error } = await page.evaluate((spec) => attempt(() => near.adapters.load(spec)), spec);
      assert.equal(error?.code, code, JSON.stringify(error));
      assert.match(error.message, words);
    }
    assert.ok(await page.evaluate(() => ask()));
  });
});
