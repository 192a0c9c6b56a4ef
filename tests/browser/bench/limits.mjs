// What Chromium's WebAssembly can do at most on this machine: products held in registers, and a plain stream.
import path from 'node:path';

/** What the server must show for `runProgram`: a program compiled for WASI. */
export function programMount(program) {
  return ['/program/', path.dirname(program)];
}

/** What each of `count` workers printed in which `program` ran at once. */
export async function runProgram(browser, server, program, args, count) {
  const page = await browser.page();
  page.setDefaultTimeout(0);
  try {
    await page.goto(`${server.url}/blank.html`);
    return await page.evaluate(
      async ([url, args, count]) => (await import('/bench/program.js')).runProgram(url, args, count),
      [`/program/${path.basename(program)}`, args, count],
    );
  } finally {
    await page.close();
  }
}

/** Thousand millions a second of products and of bytes that so many threads reach together. */
export async function limits(browser, server, program, threads) {
  const printed = await runProgram(browser, server, program, ['--limits'], threads);
  const each = printed.map((text) => JSON.parse(text));
  const sum = (name) => each.reduce((sum, one) => sum + one[name], 0);
  return { giga_products: sum('giga_products'), giga_bytes: sum('giga_bytes') };
}
