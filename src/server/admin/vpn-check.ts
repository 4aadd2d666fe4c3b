import { type ErrorCode, toV6Error } from '../../core/errors.ts';
import type { PortalConnector } from '../interfaces/portal-connector.ts';

/** In the order in which they are tried; each needs the one before it. */
export const CHECK_STEPS = ['discovery', 'login', 'profile', 'limit'] as const;
export type CheckStep = (typeof CHECK_STEPS)[number];

export interface CheckedStep {
  readonly step: CheckStep;
  /** `skipped`: a step before it failed. */
  readonly state: 'passed' | 'failed' | 'skipped';
  /** What was found. */
  readonly found: string | null;
  readonly error: {
    readonly code: ErrorCode;
    readonly message: string;
    readonly hints: readonly string[];
  } | null;
}

/**
 * Tries the chain from the server to the portal, up to the list of profiles: a configuration is never asked for to look, since
 * that ends another. Failures are results. Rejects only with the signal's reason.
 */
export async function checkPortal(
  portal: Pick<PortalConnector, 'api' | 'authorize' | 'findProfile' | 'limit'>,
  options: { readonly signal: AbortSignal; readonly onStep?: (step: CheckedStep) => void },
): Promise<readonly CheckedStep[]> {
  const { signal } = options;
  const found = new Map<CheckStep, () => Promise<string>>();
  let tokens: Awaited<ReturnType<PortalConnector['authorize']>> | undefined;
  found.set('discovery', async () => `API ${await portal.api(signal)}`);
  found.set('login', async () => {
    tokens = await portal.authorize(signal);
    return 'account, client and redirect URL are accepted';
  });
  found.set('profile', async () => {
    if (tokens === undefined) throw new Error('no tokens');
    const { id, displayName } = await portal.findProfile(tokens, signal);
    return `${id} (${displayName})`;
  });
  found.set('limit', async () => {
    const limit = await portal.limit(signal);
    return limit === undefined ? 'any number of nodes' : `${limit} nodes at once`;
  });
  const steps: CheckedStep[] = [];
  for (const step of CHECK_STEPS) {
    const hasFailed = steps.some(({ state }) => state !== 'passed');
    const checked = hasFailed ? skipped(step) : await tryStep(step, found.get(step), signal);
    steps.push(checked);
    options.onStep?.(checked);
  }
  return steps;
}

const skipped = (step: CheckStep): CheckedStep => ({
  step,
  state: 'skipped',
  found: null,
  error: null,
});

async function tryStep(
  step: CheckStep,
  look: (() => Promise<string>) | undefined,
  signal: AbortSignal,
): Promise<CheckedStep> {
  try {
    return { step, state: 'passed', found: (await look?.()) ?? null, error: null };
  } catch (error) {
    signal.throwIfAborted();
    const { code, message, hints } = toV6Error(error);
    return { step, state: 'failed', found: null, error: { code, message, hints } };
  }
}
