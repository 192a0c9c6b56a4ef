import type {
  ChatChunk,
  ChatCompletion,
  ChatDelta,
  ChatMessage,
  FinishReason,
  TokenLogprob,
  ToolCall,
} from './types.js';

/** One answer while its pieces come in. */
class Choice {
  #message: ChatMessage = { role: 'assistant', content: '' };
  #calls: ToolCall[] = [];
  #logprobs: TokenLogprob[] = [];
  #finish: FinishReason = 'stop';

  add({ delta, finish_reason, logprobs }: ChatChunk['choices'][number]): void {
    const message = this.#message;
    message.role = delta.role ?? message.role;
    message.content = (message.content ?? '') + (delta.content ?? '');
    if (delta.reasoning_content) {
      message.reasoning_content = (message.reasoning_content ?? '') + delta.reasoning_content;
    }
    for (const piece of delta.tool_calls ?? []) {
      this.#addCall(piece);
    }
    this.#finish = finish_reason ?? this.#finish;
    this.#logprobs.push(...(logprobs?.content ?? []));
  }

  #addCall({ index, id, function: called }: NonNullable<ChatDelta['tool_calls']>[number]): void {
    const call = this.#calls[index] ?? { id: '', type: 'function', function: { name: '', arguments: '' } };
    this.#calls[index] = call;
    call.id = id ?? call.id;
    call.function.name += called?.name ?? '';
    call.function.arguments += called?.arguments ?? '';
  }

  finish(index: number): ChatCompletion['choices'][number] {
    const message = this.#message;
    const calls = this.#calls.filter(Boolean);
    if (calls.length > 0) {
      message.tool_calls = calls;
      message.content ||= null;
    }
    const logprobs = this.#logprobs.length > 0 ? { content: this.#logprobs } : null;
    return { index, message, finish_reason: this.#finish, logprobs };
  }
}

/** The whole answer that a stream's pieces make. */
export async function collect(stream: AsyncIterable<ChatChunk>): Promise<ChatCompletion> {
  const choices = new Map<number, Choice>([[0, new Choice()]]);
  let last: ChatChunk | null = null;
  let usage: ChatCompletion['usage'] = null;
  for await (const chunk of stream) {
    last = chunk;
    usage = chunk.usage ?? usage;
    for (const piece of chunk.choices) {
      const choice = choices.get(piece.index) ?? new Choice();
      choices.set(piece.index, choice);
      choice.add(piece);
    }
  }
  const ordered = [...choices].sort(([left], [right]) => left - right);
  return {
    id: last?.id ?? '',
    object: 'chat.completion',
    created: last?.created ?? 0,
    model: last?.model ?? '',
    choices: ordered.map(([index, choice]) => choice.finish(index)),
    usage,
    nearside: last?.nearside ?? { side: 'near', reasons: [] },
  };
}
