// transformers.js, on a model folder that make_onnx.py made.
import { messages, WRITTEN } from './prompt.js';

export async function open({ folder, threads }) {
  const { AutoModelForCausalLM, AutoTokenizer, env } = await import('/peers/transformers/dist/transformers.min.js');
  Object.assign(env, { allowRemoteModels: false, allowLocalModels: true, localModelPath: '/onnx/' });
  env.backends.onnx.wasm.wasmPaths = `${location.origin}/peers/onnxruntime-web/dist/`;
  env.backends.onnx.wasm.numThreads = threads;
  const tokenizer = await AutoTokenizer.from_pretrained(folder);
  const model = await AutoModelForCausalLM.from_pretrained(folder, { device: 'wasm', dtype: 'q8' });
  return {
    info: {},
    async round(round, written = WRITTEN) {
      const inputs = tokenizer.apply_chat_template(messages(round), { add_generation_prompt: true, return_dict: true });
      const prompt = inputs.input_ids.dims[1];
      const times = [];
      const start = performance.now();
      const ids = await model.generate({
        ...inputs,
        max_new_tokens: written,
        min_new_tokens: written,
        do_sample: false,
        // It is handed the prompt first, then each token.
        streamer: { put: () => times.push(performance.now()), end() {} },
      });
      const seconds = (from, to) => (to - from) / 1000;
      return {
        prompt,
        written: times.length - 1,
        prefill: prompt / seconds(start, times[1]),
        decode: (times.length - 2) / seconds(times[1], times.at(-1)),
        text: tokenizer.batch_decode(ids.slice(null, [prompt, null]), { skip_special_tokens: true })[0],
      };
    },
  };
}
