import type { Clock } from '../core/clock.ts';
import { V6Error } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { CoordinatorSession, NodeIdentity } from './interfaces/coordinator.ts';
import { isServerAway } from './server-patience.ts';

export interface LoginOptions {
  /** `encryption.enabled` of the node's configuration. */
  readonly encrypted: boolean;
  /** How long an absent server is waited for, in ms. */
  readonly limitMs: number;
  readonly signal: AbortSignal;
}

const PAUSE_MS = 1000;

/**
 * Logs in and checks that node and collaboration agree about encryption. Waits for an absent server up to the limit. Throws
 * V6_SERVER_UNREACHABLE, V6_SERVER_ANSWER, V6_AUTH_API_KEY, V6_NODE_ENCRYPTION_MISMATCH.
 */
export async function logIn(
  deps: {
    readonly session: CoordinatorSession;
    readonly clock: Clock;
    readonly logger: Logger;
  },
  { encrypted, limitMs, signal }: LoginOptions,
): Promise<NodeIdentity> {
  const until = deps.clock.now().getTime() + limitMs;
  for (;;) {
    try {
      const identity = await deps.session.login(signal);
      checkEncryption(identity, encrypted);
      return identity;
    } catch (error) {
      signal.throwIfAborted();
      if (!isServerAway(error) || deps.clock.now().getTime() + PAUSE_MS > until) throw error;
      deps.logger.warn('The coordination server does not answer; logging in again', {
        server: deps.session.baseUrl,
      });
      await deps.clock.sleep(PAUSE_MS, signal);
    }
  }
}

const words = (on: boolean): string => (on ? 'encrypted' : 'not encrypted');

function checkEncryption(identity: NodeIdentity, encrypted: boolean): void {
  if (identity.encrypted === encrypted) return;
  throw new V6Error(
    'V6_NODE_ENCRYPTION_MISMATCH',
    `The collaboration is ${words(identity.encrypted)}, this node's configuration says ${words(encrypted)}`,
    {
      hints: encrypted
        ? [
            'Ask the administrator of the collaboration: this node sends nothing that is not encrypted.',
            'If that is meant to change: encryption.enabled: false',
          ]
        : [
            "Set encryption.enabled to true in the node's configuration, and give it the private key of its organization.",
          ],
      details: { collaboration: identity.collaboration },
    },
  );
}
