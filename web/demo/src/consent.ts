import type { ConsentRequest } from 'nearside';
import { byId, make } from './dom';
import { bytes, score } from './format';

/** Shows what would be sent and waits for the answer; Escape and closing mean no. */
export function askConsent(request: ConsentRequest): Promise<boolean> {
  const dialog = byId('consent', HTMLDialogElement);
  const { decision } = request;
  byId('consent-why', HTMLElement).textContent = decision.reasons.join(' ');
  const facts: [string, string][] = [
    ['To', request.destination],
    ['Model', request.model || "the Worker's own choice"],
    ['Size', bytes(request.bytes)],
    ['Score', `${score(decision.score)}, threshold ${score(decision.threshold)}`],
  ];
  byId('consent-facts', HTMLElement).replaceChildren(
    ...facts.flatMap(([term, value]) => [make('dt', {}, term), make('dd', {}, value)]),
  );
  byId('consent-redactions', HTMLElement).replaceChildren(
    request.redactions.length === 0
      ? make('p', { class: 'hint' }, 'Nothing in it needed replacing.')
      : make(
          'ul',
          { class: 'redactions', 'aria-label': 'Replaced before sending' },
          ...request.redactions.map(({ placeholder, value }) =>
            make('li', {}, make('s', {}, value), ' → ', make('code', {}, placeholder)),
          ),
        ),
  );
  byId('consent-body', HTMLElement).textContent = indented(request.body);
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}

/** Closes the question unanswered, when its request is no longer wanted. */
export function withdrawConsent(): void {
  byId('consent', HTMLDialogElement).close('no');
}

/** The same JSON with white space for reading. */
export function indented(body: string): string {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}
