// The model store: downloads that break off, lie, do not fit, or are called off.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { CHROMIUM, launch } from './support/browser.mjs';
import { missing, PACKAGE, servePackage } from './support/fixtures.mjs';
import { openPackage } from './support/page.mjs';

const SIZE = 24 << 20;
const file = randomBytes(SIZE);
const sha256 = createHash('sha256').update(file).digest('hex');
const skip = missing(CHROMIUM, `${PACKAGE}/wasm`);

describe('model store', { skip }, () => {
  let server;
  let browser;
  let page;

  before(async () => {
    const routes = {
      '/big.gguf': file,
      // Its second half never comes.
      '/stalled.gguf': (_request, response) => {
        response.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': SIZE });
        response.write(file.subarray(0, SIZE / 2));
      },
      '/page.gguf': '<!doctype html><p>Sign in first</p>',
    };
    server = await servePackage({ routes });
    browser = await launch({ webgpu: false });
    page = await openPackage(browser, server);
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  const spec = (fields = {}) => ({ url: `${server.url}/big.gguf`, sha256, bytes: SIZE, name: 'Big', ...fields });
  const download = (model) => page.evaluate((model) => attempt(() => nearside.models.download(model)), model);
  const list = () => page.evaluate(() => nearside.models.list());
  const remove = (model) => page.evaluate((model) => nearside.models.remove(model), model);
  const served = () => server.log.filter(({ path }) => path === '/big.gguf');

  test('a download that is killed midway goes on where it stopped', async () => {
    server.cut('/big.gguf', SIZE / 2);
    const { error } = await download(spec());
    assert.equal(error.name, 'NearsideError');
    assert.equal(error.code, 'download_interrupted');
    assert.match(error.message, /are kept: try again/);
    const [partial] = await list();
    assert.equal(partial.complete, false);
    assert.ok(partial.stored > 0 && partial.stored <= SIZE / 2, `${partial.stored} bytes are kept`);

    assert.equal((await download(spec())).error, undefined);
    const [first, second] = served();
    assert.equal(first.sent, SIZE / 2);
    assert.equal(second.range, `bytes=${partial.stored}-`);
    assert.equal(second.sent, SIZE - partial.stored, 'what was already there is not sent again');
    assert.deepEqual(
      (await list()).map(({ complete, stored, name }) => ({ complete, stored, name })),
      [{ complete: true, stored: SIZE, name: 'Big' }],
    );
    assert.equal(await page.evaluate((model) => nearside.models.has(model), spec()), true);

    const before = served().length;
    assert.equal((await download(spec())).error, undefined);
    assert.equal(served().length, before, 'a whole model is not asked for again');
    await remove(spec());
    assert.deepEqual(await list(), []);
  });

  test('a page that is closed midway loses nothing that was stored', async () => {
    server.cut('/big.gguf', SIZE / 2);
    const other = await openPackage(browser, server);
    await other.evaluate((model) => attempt(() => nearside.models.download(model)), spec());
    await other.close();
    const [partial] = await list();
    assert.ok(partial.stored > 0);
    assert.equal((await download(spec())).error, undefined);
    assert.equal(served().at(-1).sent, SIZE - partial.stored);
    await remove(spec());
  });

  test('a server without ranges makes it start anew, and it ends well', async () => {
    server.cut('/big.gguf', SIZE / 2);
    await download(spec());
    server.setRanges(false);
    try {
      assert.equal((await download(spec())).error, undefined);
      assert.equal(served().at(-1).sent, SIZE);
    } finally {
      server.setRanges(true);
      await remove(spec());
    }
  });

  test('a wrong SHA-256 is one clear error, and nothing is left', async () => {
    const wrong = spec({ sha256: '0'.repeat(64) });
    const { error } = await download(wrong);
    assert.equal(error.code, 'model_hash_mismatch');
    assert.ok(error.message.includes(sha256), 'the error says what the hash is');
    assert.deepEqual(await list(), []);
    assert.equal(await page.evaluate((model) => nearside.models.has(model), wrong), false);
  });

  test('a web page in place of a model is refused', async () => {
    const { error } = await download({ url: `${server.url}/page.gguf`, sha256 });
    assert.equal(error.code, 'model_hash_mismatch');
    assert.deepEqual(await list(), []);
  });

  test('a missing file and a wrong hash text say so', async () => {
    const missingFile = await download(spec({ url: `${server.url}/nowhere.gguf` }));
    assert.equal(missingFile.error.code, 'download_refused');
    assert.match(missingFile.error.message, /404/);
    const badHash = await download(spec({ sha256: 'abc' }));
    assert.equal(badHash.error.code, 'invalid_request');
    await remove(spec());
  });

  test('an abort stops the download and keeps what is here', async () => {
    const result = await page.evaluate(
      async (model) => {
        const controller = new AbortController();
        return attempt(() =>
          nearside.models.download(model, {
            signal: controller.signal,
            onProgress: ({ done }) => done > 0 && controller.abort(),
          }),
        );
      },
      spec({ url: `${server.url}/stalled.gguf` }),
    );
    assert.equal(result.error?.code, 'aborted');
    const [partial] = await list();
    assert.equal(partial.complete, false);
    assert.ok(partial.stored > 0, 'what came is kept');
    await remove(spec());
  });

  test('a model that does not fit is one clear error', async () => {
    const client = await page.context().newCDPSession(page);
    await client.send('Storage.overrideQuotaForOrigin', { origin: server.url, quotaSize: SIZE / 2 });
    try {
      for (const model of [spec(), spec({ bytes: undefined })]) {
        const { error } = await download(model);
        assert.equal(error.code, 'storage_full');
        assert.match(error.message, /no room for Big/);
      }
    } finally {
      await client.send('Storage.overrideQuotaForOrigin', { origin: server.url });
      await remove(spec());
    }
  });

  test('two tabs do not write the same model', async () => {
    const other = await openPackage(browser, server);
    const both = await Promise.all(
      [page, other].map((one) => one.evaluate((model) => attempt(() => nearside.models.download(model)), spec())),
    );
    const codes = both.map(({ error }) => error?.code ?? 'done').sort();
    assert.ok(codes.includes('done') && ['done', 'storage_busy'].includes(codes[1]), codes.join());
    assert.equal((await list())[0].complete, true);
    await remove(spec());
    await other.close();
  });
});
