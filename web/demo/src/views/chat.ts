import type { ChatMessage, NearsideNote } from 'nearside';
import type { App } from '../app';
import type { CatalogueModel } from '../config';
import { withdrawConsent } from '../consent';
import { button, byId, make } from '../dom';
import { bytes, score } from '../format';
import { describe } from '../notices';
import { showText } from '../prose';

const MAX_TOKENS = 320;
/** Small models wander when they are warmer. */
const TEMPERATURE = 0.3;

/** Binds the chat's page; the result shows it anew. */
export function showChat(app: App, loadModel: (model: CatalogueModel) => Promise<void>): () => void {
  const list = byId('messages', HTMLElement);
  const prompt = byId('prompt', HTMLTextAreaElement);
  const send = byId('send', HTMLButtonElement);
  const stop = byId('stop', HTMLButtonElement);
  const history: ChatMessage[] = [];
  let running: AbortController | null = null;

  const refresh = () => {
    send.disabled = !app.near;
    send.hidden = running !== null;
    stop.hidden = running === null;
    byId('fresh', HTMLButtonElement).disabled = history.length === 0 || running !== null;
    byId('far-state', HTMLElement).textContent = app.config.worker
      ? `The far side is ${new URL(app.config.worker.url).host}.`
      : 'This site has no far side, so nothing can leave.';
    renderEmpty(app, history.length > 0 || running !== null, loadModel);
  };

  const ask = async (text: string) => {
    const near = app.near;
    if (!near) {
      return;
    }
    running = new AbortController();
    history.push({ role: 'user', content: text });
    list.append(make('li', { class: 'message user' }, make('p', { class: 'text' }, text)));
    const answer = new Answer(list);
    refresh();
    try {
      const stream = await near.chat.completions.create(
        { messages: history, stream: true, max_tokens: MAX_TOKENS, temperature: TEMPERATURE },
        { signal: running.signal },
      );
      for await (const chunk of stream) {
        answer.add(chunk.choices[0]?.delta.content ?? '', chunk.nearside, chunk.model);
      }
      answer.end('');
    } catch (error) {
      answer.end(running.signal.aborted ? 'Stopped.' : describe(error));
    }
    // A question without an answer would confuse the next one.
    if (answer.text) {
      history.push({ role: 'assistant', content: answer.text });
    } else {
      history.pop();
    }
    running = null;
    refresh();
    prompt.focus();
  };

  byId('composer', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    const text = prompt.value.trim();
    if (text && !running && app.near) {
      prompt.value = '';
      void ask(text);
    }
  });
  prompt.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      prompt.form?.requestSubmit();
    }
  });
  stop.addEventListener('click', () => {
    running?.abort();
    withdrawConsent();
  });
  byId('fresh', HTMLButtonElement).addEventListener('click', () => {
    history.length = 0;
    list.replaceChildren();
    refresh();
    prompt.focus();
  });
  app.onChange(refresh);
  return refresh;
}

function renderEmpty(app: App, started: boolean, loadModel: (model: CatalogueModel) => Promise<void>): void {
  const empty = byId('empty', HTMLElement);
  empty.hidden = started;
  const first = app.config.models[0];
  if (app.near) {
    empty.replaceChildren(
      make('h2', {}, 'Ask away.'),
      make('p', {}, 'Answers come from this device. Nothing leaves it unless your policy and you allow it.'),
    );
  } else if (first) {
    empty.replaceChildren(
      make('h2', {}, 'A model, kept on this device'),
      make('p', {}, 'It is downloaded once, checked, and answers without a network from then on.'),
      button(`Get ${first.name} (${bytes(first.bytes)})`, () => void loadModel(first), 'primary'),
    );
  } else {
    empty.replaceChildren(make('h2', {}, 'No model yet'), make('p', {}, 'Open a GGUF file on the page Models.'));
  }
}

/** One answer on the page, growing. */
class Answer {
  text = '';
  readonly #entry: HTMLElement;
  readonly #body = make('div', { class: 'text' });
  readonly #badge = make('span', { class: 'badge' });
  readonly #model = make('span', { class: 'model' });
  readonly #speed = make('span', { class: 'speed' });
  readonly #score = make('span', { class: 'score' });
  readonly #receipt = make('a', { href: '#crossings' }, 'Receipt');
  readonly #reasons = make('p');
  readonly #why = make('details', { class: 'why' }, make('summary', {}, 'Why'), this.#reasons);
  #firstToken = 0;
  #pieces = 0;

  constructor(list: HTMLElement) {
    this.#badge.textContent = 'Thinking…';
    for (const part of [this.#model, this.#speed, this.#score, this.#receipt, this.#why]) {
      part.hidden = true;
    }
    const foot = make('footer', {}, this.#badge, this.#model, this.#speed, this.#score, this.#receipt, this.#why);
    this.#entry = make('li', { class: 'message assistant', 'aria-busy': 'true' }, this.#body, foot);
    list.append(this.#entry);
    this.#entry.scrollIntoView({ block: 'end' });
  }

  add(text: string, note: NearsideNote, model: string): void {
    if (text) {
      const now = performance.now();
      this.#firstToken ||= now;
      this.#pieces += 1;
      this.text += text;
      showText(this.#body, this.text);
      // What the page sees itself, until the engine's own figure comes with the last chunk.
      const seconds = (now - this.#firstToken) / 1000;
      this.#show(this.#speed, seconds > 0 ? speedOf((this.#pieces - 1) / seconds) : '');
    }
    if (note.timings?.completion_tokens_per_second) {
      this.#show(this.#speed, speedOf(note.timings.completion_tokens_per_second));
    }
    this.#entry.setAttribute('data-side', note.side);
    this.#badge.className = `badge ${note.side}`;
    this.#badge.textContent = note.side === 'near' ? 'Near' : 'Far';
    this.#badge.title = model;
    this.#show(this.#model, note.side === 'far' ? model : '');
    this.#receipt.hidden = !note.receipt;
    if (note.score !== undefined && note.threshold !== undefined) {
      this.#show(this.#score, `score ${score(note.score)}, threshold ${score(note.threshold)}`);
    }
    this.#reasons.textContent = note.reasons.join(' ');
    this.#why.hidden = note.reasons.length === 0;
    this.#entry.scrollIntoView({ block: 'end' });
  }

  end(problem: string): void {
    this.#entry.removeAttribute('aria-busy');
    if (!this.#entry.hasAttribute('data-side')) {
      this.#badge.hidden = true;
    }
    if (problem) {
      this.#entry.append(make('p', { class: 'problem', role: 'alert' }, problem));
    }
  }

  #show(part: HTMLElement, text: string): void {
    part.textContent = text;
    part.hidden = text === '';
  }
}

function speedOf(tokensPerSecond: number): string {
  return `${tokensPerSecond.toFixed(1)} tokens/s`;
}
