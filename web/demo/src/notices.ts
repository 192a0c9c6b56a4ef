import { environment, NearsideError } from 'nearside';
import { button, byId, make } from './dom';

/** Says what the page lacks, and what to do about it. */
export function showEnvironment(): void {
  const list = byId('notices', HTMLElement);
  list.replaceChildren(...environment().notices.map((notice) => make('p', {}, notice)));
}

/** Shows an error until it is dismissed; an abort is the user's own doing and needs no word. */
export function showError(error: unknown): void {
  if (error instanceof NearsideError && error.code === 'aborted') {
    return;
  }
  const entry = make('p', {}, make('span', {}, describe(error)));
  entry.append(button('Dismiss', () => entry.remove(), 'quiet'));
  byId('errors', HTMLElement).replaceChildren(entry);
}

/** An error in words. */
export function describe(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.charAt(0).toUpperCase() + text.slice(1);
}
