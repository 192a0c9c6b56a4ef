import { DEFAULT_POLICY, type Policy, type PolicyMode } from 'nearside';
import { byId } from './dom';
import { score } from './format';

const KEY = 'nearside-policy';

/** The demo always shows a number, so it starts with the router's. */
const START: Policy & { threshold: number } = { ...DEFAULT_POLICY, threshold: 0.5 };

function stored(): typeof START {
  try {
    return { ...START, ...(JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<typeof START>) };
  } catch {
    return { ...START };
  }
}

/** The user's policy, as its controls show it; kept between visits. */
export const policy = stored();

/** Binds the controls to the policy. */
export function bindPolicy(): void {
  const mode = byId('mode', HTMLSelectElement);
  const threshold = byId('threshold', HTMLInputElement);
  const shown = byId('threshold-value', HTMLOutputElement);
  const redact = byId('redact', HTMLInputElement);
  mode.value = policy.mode;
  threshold.value = String(policy.threshold);
  redact.checked = policy.redact;
  const update = () => {
    policy.mode = mode.value as PolicyMode;
    policy.threshold = threshold.valueAsNumber;
    policy.redact = redact.checked;
    threshold.disabled = policy.mode === 'near-only' || policy.mode === 'far-only';
    shown.value = score(policy.threshold);
    localStorage.setItem(KEY, JSON.stringify(policy));
  };
  for (const control of [mode, threshold, redact]) {
    control.addEventListener('input', update);
  }
  update();
}
