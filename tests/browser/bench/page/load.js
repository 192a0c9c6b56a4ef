// From a file in the store to the first token of an answer, and from a question to the first token of a later one.
const SHORT = [{ role: 'user', content: 'Say hello.' }];

/** Milliseconds until the first piece of text of `stream`, which is then left to end. */
async function firstText(chunks, started) {
  let first = null;
  for await (const chunk of chunks) {
    if (first === null && chunk.choices[0]?.delta.content) {
      first = performance.now() - started;
    }
  }
  return first;
}

/** Brings the model into this package's store. */
export async function download(model) {
  const { models } = await import('/package/index.js');
  await models.download(model);
}

/** Loads from the store and asks something short. */
export async function nearside({ model, threads, context }) {
  const started = performance.now();
  const { Nearside } = await import('/package/index.js');
  const near = await Nearside.load({ model, backend: 'cpu', threads, context, policy: { mode: 'near-only' } });
  window.near = near;
  const loaded = performance.now() - started;
  const request = { messages: SHORT, max_tokens: 2, temperature: 0, stream: true, ignore_eos: true };
  const first = await firstText(await near.chat.completions.create(request), started);
  return { loaded, first };
}

async function openWllama() {
  const { Wllama } = await import('/peers/wllama/esm/index.min.js');
  const quiet = () => {};
  const logger = { debug: quiet, log: quiet, warn: quiet, error: quiet };
  return new Wllama({ default: '/peers/wllama/esm/wasm/wllama.wasm' }, { logger });
}

/** Brings the model into wllama's store. */
export async function downloadWllama({ url }) {
  await (await openWllama()).modelManager.downloadModel(url);
}

/** The same with wllama, from its own store. */
export async function wllama({ model, threads, context }) {
  const started = performance.now();
  const wllama = await openWllama();
  await wllama.loadModelFromUrl(model.url, { n_ctx: context, n_threads: threads, n_gpu_layers: 0 });
  const loaded = performance.now() - started;
  const request = { messages: SHORT, max_tokens: 2, temperature: 0, top_k: 1, stream: true, ignore_eos: true };
  const first = await firstText(await wllama.createChatCompletion(request), started);
  return { loaded, first };
}

/** Asks the loaded engine; how long the first token took, and what it did not have to read again. */
export async function turn(messages) {
  const answer = await near.chat.completions.create({ messages, max_tokens: 8, temperature: 0, ignore_eos: true });
  const { first_token_milliseconds: first, reused_tokens: reused } = answer.nearside.timings;
  return { first, reused, prompt: answer.usage.prompt_tokens, text: answer.choices[0].message.content };
}
