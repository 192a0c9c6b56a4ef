// wllama, with the file in its own store as a page would have it.
import { messages, WRITTEN } from './prompt.js';

const quiet = () => {};

export async function open({ model, threads, context }) {
  const { Wllama } = await import('/peers/wllama/esm/index.js');
  const logger = { debug: quiet, log: quiet, warn: quiet, error: quiet };
  const wllama = new Wllama({ default: '/peers/wllama/esm/wasm/wllama.wasm' }, { logger });
  await wllama.loadModelFromUrl(model.url, { n_ctx: context, n_threads: threads, n_gpu_layers: 0 });
  return {
    info: { threads: wllama.getNumThreads?.() },
    async round(round, written = WRITTEN) {
      const answer = await wllama.createChatCompletion({
        messages: messages(round),
        max_tokens: written,
        temperature: 0,
        top_k: 1,
        ignore_eos: true,
        cache_prompt: false,
        seed: 1,
      });
      const { timings } = answer;
      return {
        prompt: timings.prompt_n,
        written: timings.predicted_n,
        prefill: timings.prompt_per_second,
        decode: timings.predicted_per_second,
        text: answer.choices[0].message.content,
      };
    },
  };
}
