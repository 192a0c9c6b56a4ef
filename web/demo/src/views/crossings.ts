import { type Receipt, receipts } from 'nearside';
import { byId, make } from '../dom';
import { bytes, score } from '../format';
import { showError } from '../notices';

const OUTCOMES: Record<Receipt['outcome'], string> = {
  sent: 'sent, no answer yet',
  answered: 'answered',
  failed: 'failed',
  aborted: 'stopped',
};

/** Binds the ledger's page; the result shows it anew. */
export function showCrossings(): () => void {
  const refresh = () => {
    render().catch(showError);
  };
  byId('clear-receipts', HTMLButtonElement).addEventListener('click', () => {
    receipts.clear().then(refresh, showError);
  });
  return refresh;
}

async function render(): Promise<void> {
  const all = await receipts.list();
  byId('clear-receipts', HTMLButtonElement).hidden = all.length === 0;
  byId('receipt-list', HTMLElement).replaceChildren(
    ...(all.length === 0 ? [make('li', { class: 'none' }, 'Nothing has left this device.')] : all.map(card)),
  );
}

function card(receipt: Receipt): HTMLElement {
  const time = new Date(receipt.at);
  const replaced = Object.entries(receipt.redactions).map(([kind, times]) => `${times} × ${kind}`);
  const outcome = OUTCOMES[receipt.outcome];
  const facts: [string, string][] = [
    ['To', receipt.destination],
    ['Model', receipt.model || "the Worker's own choice"],
    ['Sent', `${bytes(receipt.bytes)}, ${receipt.messages} messages, fields ${receipt.fields.join(', ')}`],
    ['Replaced', replaced.join(', ') || 'nothing'],
    ['Score', `${score(receipt.score)}, threshold ${score(receipt.threshold)}`],
    ['Why', receipt.reasons.join(' ')],
    ['Allowed by', receipt.granted_by === 'consent' ? 'you, for this request' : 'your policy'],
    ['Outcome', receipt.error ? `${outcome}: ${receipt.error}` : outcome],
  ];
  if (receipt.completion_tokens !== undefined) {
    facts.push(['Tokens', `${receipt.prompt_tokens ?? 0} read, ${receipt.completion_tokens} written`]);
  }
  if (receipt.cost_microdollars !== undefined) {
    facts.push(['Cost', `$${(receipt.cost_microdollars / 1e6).toFixed(6)}`]);
  }
  return make(
    'li',
    { class: 'card receipt', id: receipt.id },
    make('h3', {}, make('time', { datetime: time.toISOString() }, time.toLocaleString())),
    make('dl', { class: 'facts' }, ...facts.flatMap(([term, value]) => [make('dt', {}, term), make('dd', {}, value)])),
  );
}
