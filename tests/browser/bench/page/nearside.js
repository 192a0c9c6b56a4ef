// This package, as a page would use it.
import { messages, WRITTEN } from './prompt.js';

export async function open({ model, threads, context }) {
  const { Nearside } = await import('/package/index.js');
  const near = await Nearside.load({ model, backend: 'cpu', threads, context, policy: { mode: 'near-only' } });
  return {
    info: { device: near.model.backend.device, features: near.model.backend.features, build: near.model.build },
    async round(round, written = WRITTEN) {
      const request = { messages: messages(round), max_tokens: written, temperature: 0, ignore_eos: true };
      const answer = await near.chat.completions.create(request);
      const { timings } = answer.nearside;
      return {
        prompt: answer.usage.prompt_tokens,
        written: answer.usage.completion_tokens,
        prefill: timings.prompt_tokens_per_second,
        decode: timings.completion_tokens_per_second,
        text: answer.choices[0].message.content,
      };
    },
  };
}
