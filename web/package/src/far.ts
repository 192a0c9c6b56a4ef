import { abortedError, describeError, NearsideError } from './errors.js';
import { writeReceipt } from './receipts.js';
import type { ChatChunk, ConsentRequest, FarConfig, NearsideNote, Receipt, Usage } from './types.js';
import type { Crossing } from './wasm/simd/nearside.js';

/** The address a request crosses to. */
export function destinationOf(far: FarConfig): string {
  return `${far.url.replace(/\/+$/, '')}/v1/chat/completions`;
}

/** One crossing that has been allowed. */
export interface AllowedCrossing {
  crossing: Crossing;
  preview: ConsentRequest;
  token: string | undefined;
  grantedBy: Receipt['grantedBy'];
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
    receipt.usage = await exchange(allowed, receipt);
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

function newReceipt({ preview, grantedBy }: AllowedCrossing): Receipt {
  const redactions: Record<string, number> = {};
  for (const { kind } of preview.redactions) {
    redactions[kind] = (redactions[kind] ?? 0) + 1;
  }
  const { destination, model, body, bytes, decision } = preview;
  return {
    id: `rcpt-${crypto.randomUUID()}`,
    time: new Date().toISOString(),
    destination,
    model,
    body,
    bytes,
    fields: Object.keys(JSON.parse(body) as object),
    redactions,
    score: decision.score,
    threshold: decision.threshold,
    reasons: decision.reasons,
    grantedBy,
    outcome: 'sent',
    costMicrodollars: null,
    usage: null,
    error: null,
  };
}

async function exchange(
  { crossing, preview, token, emit, signal }: AllowedCrossing,
  receipt: Receipt,
): Promise<Usage | null> {
  const note: NearsideNote = {
    side: 'far',
    score: preview.decision.score,
    threshold: preview.decision.threshold,
    reasons: preview.decision.reasons,
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
  const cost = response.headers.get('x-nearside-cost-microdollars');
  receipt.costMicrodollars = cost === null ? null : Number(cost);
  let usage: Usage | null = null;
  const forward = (chunks: Omit<ChatChunk, 'nearside'>[]) => {
    for (const chunk of chunks) {
      usage = chunk.usage ?? usage;
      emit({ ...chunk, nearside: note });
    }
  };
  for await (const bytes of response.body) {
    forward(crossing.push(bytes));
  }
  forward(crossing.finish());
  return usage;
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
