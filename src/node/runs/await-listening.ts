import { untilEngineAnswers } from '../engine-patience.ts';
import type { PortWish } from '../interfaces/run-files.ts';
import { engineAnswer } from './engine-answer.ts';
import type { RunDeps } from './run-deps.ts';

/** After this an algorithm that never listens counts as started, in ms (design: ten seconds). */
const LIMIT_MS = 10_000;
const FIRST_PAUSE_MS = 25;
const LONGEST_PAUSE_MS = 250;

/**
 * Waits until the algorithm listens on all these ports, has ended, or the limit. The run becomes `active` only then, and other
 * algorithms are given its addresses only while it is active: upstream's images crash on one refused connection.
 */
export async function awaitListening(
  { engine, host, clock, logger }: Pick<RunDeps, 'engine' | 'host' | 'clock' | 'logger'>,
  container: string,
  ports: readonly Pick<PortWish, 'protocol' | 'port'>[],
  signal: AbortSignal,
): Promise<void> {
  const state = await untilEngineAnswers({ clock, logger }, 'ports of an algorithm', signal, () =>
    engineAnswer(clock, signal, engine.containers.find(container)),
  );
  if (state === undefined || state.pid === 0) return;
  const endsAt = clock.now().getTime() + LIMIT_MS;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    const listening = await look(host, logger, state.pid);
    if (listening === undefined) return;
    if (ports.every(({ protocol, port }) => listening.has(`${protocol}/${port}`))) return;
    if (clock.now().getTime() >= endsAt) return;
    await clock.sleep(pauseMs, signal);
  }
}

/** A host that does not let us look is no reason to hold a run up. */
async function look(
  host: RunDeps['host'],
  logger: RunDeps['logger'],
  pid: number,
): Promise<ReadonlySet<string> | undefined> {
  try {
    return await host.listeningPorts(pid);
  } catch (error) {
    logger.warn('The ports of an algorithm cannot be seen: it counts as listening', { error });
    return undefined;
  }
}
