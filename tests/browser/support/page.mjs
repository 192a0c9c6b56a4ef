// Runs code of the package inside a page. What throws there comes back as { error: { name, code, message } }.

/** Opens the empty page of a package server with the package at `window.nearside`, in a new page or the one given. */
export async function openPackage(browser, server, given = null) {
  const page = given ?? (await browser.page());
  await page.goto(`${server.url}/blank.html`);
  await page.evaluate(async () => {
    window.nearside = await import('/package/index.js');
    /** The result of `work`, or what it threw. */
    window.attempt = async (work) => {
      try {
        return { value: await work() };
      } catch (error) {
        return { error: { name: error.name, code: error.code, message: error.message } };
      }
    };
    /** All that a stream says, with how it ended. */
    window.listen = async (stream, onChunk = () => {}) => {
      const chunks = [];
      for await (const chunk of stream) {
        chunks.push(chunk);
        onChunk(chunk, chunks);
      }
      const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
      const last = chunks.at(-1);
      return {
        text,
        chunks: chunks.length,
        note: last?.nearside,
        usage: last?.usage,
        sides: [...new Set(chunks.map((chunk) => chunk.nearside.side))],
      };
    };
  });
  return page;
}
