import type { Clock } from '../../core/clock.ts';
import type { Logger } from '../../core/logger.ts';
import type { ClientConfig } from '../../core/vpn/client-config.ts';
import type { CredentialLadder } from './ladder.ts';

export interface RenewalDeps {
  readonly ladder: Pick<CredentialLadder, 'replace' | 'verdict' | 'onVerdict' | 'certificate'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** 0 to 1; default Math.random. Nodes that started together must not all ask at once. */
  readonly random?: () => number;
}

type Certificate = ClientConfig['certificate'];

/** eduVPN dates a certificate five minutes back, for clocks that are slow (portal 3.4.1, observed). */
const DATED_BACK_MS = 5 * 60_000;
/** The clock may be set, and the machine may sleep: the time is looked at again after this. */
const LOOK_AGAIN_MS = 3_600_000;
const SHORTEST_PAUSE_MS = 5000;

/** The time of a certificate's life, 0 to 1, after which the next is asked for: between these two. */
const DUE = { from: 0.57, to: 0.67 } as const;

/** When to ask for the next certificate. `spread` from 0 to 1 moves it within the range that is due. */
export function renewalDueAt({ notBefore, notAfter }: Certificate, spread: number): Date {
  const end = notAfter.getTime();
  const issued = Math.min(notBefore.getTime() + DATED_BACK_MS, end);
  const life = end - issued > 0 ? end - issued : end - notBefore.getTime();
  return new Date(end - life * (1 - DUE.from - spread * (DUE.to - DUE.from)));
}

/** Asks for new credentials before the present ones end. */
export interface Renewal {
  /** Works until the signal aborts. To be called once. */
  run(signal: AbortSignal): Promise<void>;
  /** When it will ask next; undefined while there is no tunnel. */
  dueAt(): Date | undefined;
}

/**
 * Keeps a connected node's credential fresh: life is extended by a new authorization only, so it asks for a new client config
 * and not for a renewed one. A failure leaves the tunnel as it is, and is tried again after a tenth of the time that is left.
 */
export function createRenewal({
  ladder,
  clock,
  logger,
  random = Math.random,
}: RenewalDeps): Renewal {
  let known: Certificate | undefined;
  let dueAt: Date | undefined;
  let waiting = new AbortController();
  ladder.onVerdict(() => waiting.abort(new Error('the verdict changed')));

  const update = (): void => {
    const certificate = ladder.certificate();
    if (certificate?.notAfter.getTime() === known?.notAfter.getTime()) return;
    known = certificate;
    dueAt = certificate && renewalDueAt(certificate, random());
  };

  const replace = async (): Promise<void> => {
    logger.info('The VPN credential is renewed before its end', {
      endsAt: known?.notAfter.toISOString(),
    });
    const { warning } = await ladder.replace();
    update();
    const now = clock.now();
    if (dueAt === undefined || known === undefined || dueAt > now) return;
    const left = Math.max(known.notAfter.getTime() - now.getTime(), 0);
    const pauseMs = Math.min(Math.max(left / 10, SHORTEST_PAUSE_MS), LOOK_AGAIN_MS);
    dueAt = new Date(now.getTime() + pauseMs);
    logger.warn('The VPN credential could not be renewed; the present one stays in use', {
      ...(warning === null ? {} : { code: warning.code, reason: warning.message }),
      endsAt: known.notAfter.toISOString(),
      againAt: dueAt.toISOString(),
    });
  };

  return {
    dueAt: () => (ladder.verdict().state === 'connected' ? dueAt : undefined),
    run: async (signal) => {
      while (!signal.aborted) {
        waiting = new AbortController();
        update();
        const isUp = ladder.verdict().state === 'connected';
        const untilDue = dueAt === undefined ? LOOK_AGAIN_MS : +dueAt - +clock.now();
        if (isUp && untilDue <= 0) {
          await replace();
          continue;
        }
        const pauseMs = isUp ? Math.min(untilDue, LOOK_AGAIN_MS) : LOOK_AGAIN_MS;
        await clock
          .sleep(pauseMs, AbortSignal.any([signal, waiting.signal]))
          .catch(() => undefined);
      }
    },
  };
}
