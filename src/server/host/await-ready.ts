import { V6Error } from '../../core/errors.ts';
import { saidFailure } from '../../core/said-failure.ts';
import type { ServerHostDeps } from './find-server.ts';

const POLL_MS = 150;

/** How a server that ended by itself did so. */
export interface ServerEnd {
  readonly exitCode: number;
  /** Its output, or the last part of it. */
  readonly log: string;
  /** The engine's own reason, when the container could not run. */
  readonly engineError?: string;
}

export interface AwaitReadyInput {
  readonly name: string;
  /** With api path. */
  readonly url: string;
  readonly limitMs: number;
  /** Looks whether the server has ended. */
  readonly ended: () => Promise<ServerEnd | undefined>;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Waits until `/health` answers 200. Throws the server's own error when it ends, V6_SERVER_NOT_READY when the time is over: it
 * goes on running then.
 */
export async function awaitReady(
  { probe, clock }: Pick<ServerHostDeps, 'probe' | 'clock'>,
  { name, url, limitMs, ended, signal }: AwaitReadyInput,
): Promise<void> {
  const endsAt = clock.now().getTime() + limitMs;
  for (;;) {
    signal?.throwIfAborted();
    // First the end: another server on the same port must not be taken for this one.
    const end = await ended();
    if (end !== undefined) throw serverFailure(name, end);
    const status = await probe.health(url, signal);
    if (status === 200) return;
    const leftMs = endsAt - clock.now().getTime();
    if (leftMs <= 0) throw notReady(name, url, { limitMs, status });
    await clock.sleep(Math.min(POLL_MS, leftMs), signal);
  }
}

function notReady(
  name: string,
  url: string,
  { limitMs, status }: { readonly limitMs: number; readonly status: number | undefined },
): V6Error {
  const seen = status === undefined ? 'does not answer' : `answers ${status}`;
  return new V6Error(
    'V6_SERVER_NOT_READY',
    `The server ${name} runs, and ${url}/health ${seen} after ${limitMs / 1000} s`,
    {
      hints: [
        `See why: v6 server logs --name ${name} --tail 20`,
        `It goes on trying; to end it: v6 server stop --name ${name}`,
      ],
      details: { server: name, url, status: status ?? null },
    },
  );
}

/** The failure that ended a server, as it said it itself; without one, V6_SERVER_NOT_READY with its last lines. */
export function serverFailure(name: string, { exitCode, log, engineError }: ServerEnd): V6Error {
  const said = saidFailure(log);
  const details = { server: name, exitCode };
  if (said !== undefined)
    return new V6Error(said.code, said.message, { hints: said.hints, details });
  const last = log.trim().split('\n').slice(-3).join(' | ').slice(-500);
  return new V6Error(
    'V6_SERVER_NOT_READY',
    `The server ${name} ended at once with status ${exitCode}: ${engineError || last || 'it said nothing'}`,
    { hints: ['Run it in the foreground to see more: v6 server run'], details },
  );
}
