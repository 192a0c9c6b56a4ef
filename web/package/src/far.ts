import type { Crossing } from './engine.js';
import { abortedError, describeError, NearsideError } from './errors.js';
import { writeReceipt } from './receipts.js';
import type { ChatChunk, ConsentRequest, FarConfig, NearsideNote, Receipt } from './types.js';

/** The address a request crosses to. */
export function destinationOf(far: FarConfig): string {
  return `${far.url.replace(/\/+$/, '')}/v1/chat/completions`;
}

/** One crossing that has been allowed. */
export interface AllowedCrossing {
  crossing: Crossing;
  preview: ConsentRequest;
  token: string | undefined;
  grantedBy: Receipt['granted_by'];
  emit: (chunk: ChatChunk) => void;
  signal: AbortSignal;
}

/** Sends the request and streams the answer. The receipt is written before the first byte leaves. */
export async function cross(allowed: AllowedCrossing): Promise<void> {
  const receipt = newReceipt(allowed);
  try {
    await writeReceipt(receipt);
  } catch (error) {
    throw new NearsideError(
      'storage_unavailable',
      `nothing was sent, because the receipt of the crossing could not be kept: ${String(error)}`,
    );
  }
  try {
    await exchange(allowed, receipt);
    receipt.outcome = 'answered';
  } catch (error) {
    const failure = allowed.signal.aborted ? abortedError() : toFarError(error, allowed.preview.destination);
    receipt.outcome = failure.code === 'aborted' ? 'aborted' : 'failed';
    receipt.error = failure.message;
    throw failure;
  } finally {
    await writeReceipt(receipt).catch(() => {});
  }
}

function newReceipt({ crossing, preview, grantedBy }: AllowedCrossing): Receipt {
  const { destination, decision } = preview;
  return {
    ...crossing.receipt(destination, decision.reasons),
    score: decision.score,
    threshold: decision.threshold,
    granted_by: grantedBy,
    outcome: 'sent',
  };
}

/** Sends and streams; what becomes known of cost and tokens goes onto the receipt. */
async function exchange(allowed: AllowedCrossing, receipt: Receipt): Promise<void> {
  const { crossing, preview, token, emit, signal } = allowed;
  const note: NearsideNote = {
    side: 'far',
    score: receipt.score,
    threshold: receipt.threshold,
    reasons: receipt.reasons,
    receipt: receipt.id,
  };
  const response = await fetch(preview.destination, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) },
    body: preview.body,
    signal,
    credentials: 'omit',
    referrerPolicy: 'no-referrer',
    cache: 'no-store',
  });
  if (!response.ok || !response.body) {
    throw await refusal(response, preview.destination);
  }
  const forward = (chunks: Omit<ChatChunk, 'nearside'>[]) => {
    for (const chunk of chunks) {
      if (chunk.usage) {
        receipt.prompt_tokens = chunk.usage.prompt_tokens;
        receipt.completion_tokens = chunk.usage.completion_tokens;
      }
      emit({ ...chunk, nearside: note });
    }
  };
  for await (const bytes of response.body) {
    forward(crossing.push(bytes));
  }
  forward(crossing.finish());
  const cost = crossing.cost();
  if (cost !== undefined) {
    receipt.cost_microdollars = cost;
  }
}

async function refusal(response: Response, destination: string): Promise<NearsideError> {
  const text = await response.text().catch(() => '');
  let message = text.slice(0, 200);
  try {
    message = (JSON.parse(text) as { error?: { message?: string } }).error?.message ?? message;
  } catch {
    // Not the shape this package speaks; the text itself is the best there is.
  }
  const code = response.status >= 500 ? 'far_unavailable' : 'far_refused';
  return new NearsideError(code, `${destination} answered ${response.status}: ${message || response.statusText}`);
}

function toFarError(error: unknown, destination: string): NearsideError {
  if (error instanceof NearsideError) {
    return error;
  }
  const { code, message } = describeError(error, 'far_unavailable');
  return error instanceof TypeError
    ? new NearsideError('far_unavailable', `${destination} cannot be reached (${message}); near still works`)
    : new NearsideError(code, message);
}
