import { make } from './dom';

/** Shows an answer: fenced code as code, all else as it is. */
export function showText(body: HTMLElement, text: string): void {
  const parts = text.split('```').map((part, index) =>
    index % 2 === 1
      ? // The word after the fence names the language.
        make('pre', { tabindex: '0' }, make('code', {}, part.replace(/^[\w+-]*\n/, '').trimEnd()))
      : make('p', {}, part.trim()),
  );
  body.replaceChildren(...parts.filter((part) => part.textContent));
}
