import { untilAnswered } from '../server-patience.ts';
import type { RunContext } from './run-context.ts';
import type { RunEnding } from './run-ending.ts';

/**
 * Undoes the start in reverse, tries every step, and tells the server in between: a port is free only when the server no longer
 * lists it. `reporting` ends the telling: what is not acknowledged then stays on disk for the next daemon.
 */
export async function finishRun(
  context: RunContext,
  ending: RunEnding,
  reporting: AbortSignal,
): Promise<void> {
  const { deps, id, slot, container } = context;
  if (slot !== undefined) deps.proxy.withdraw(slot.index);
  if (slot !== undefined && context.hasMappings)
    await attempt(context, 'port map', () => deps.vpn.removePortMappings(id, slot.algorithm));
  await attempt(context, 'record', () => keepOutcome(context, ending));
  const isGone =
    container === undefined ||
    (await attempt(context, 'container', () => deps.engine.containers.remove(container)));
  // A slot with somebody in it is not given to another run.
  if (isGone) deps.slots.release(id);
  const isTold = await report(context, ending, reporting);
  deps.ports.release(id);
  if (isTold) await attempt(context, 'files', () => deps.files.remove(id));
  context.enter('ended');
  if (!context.isClosed) context.emit(ending.status);
  deps.logger.info('A run ended', { run: id, task: context.open.task.id, status: ending.status });
}

/** True when the server has acknowledged the end, or will not hear of it. */
async function report(
  context: RunContext,
  ending: RunEnding,
  signal: AbortSignal,
): Promise<boolean> {
  const { deps, id } = context;
  try {
    await context.registration?.withdraw(signal);
    if (context.isClosed) return true;
    const { status, finishedAt, log, result } = ending;
    const patch = { status, finishedAt, log, ...(result === undefined ? {} : { result }) };
    await untilAnswered(deps, 'end of a run', signal, () => deps.runs.patch(id, patch, signal));
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    deps.logger.info('The server did not take the end of a run', { run: id, error });
    return true;
  }
}

async function keepOutcome(context: RunContext, ending: RunEnding): Promise<void> {
  const { record } = context;
  if (record === undefined || record.outcome !== undefined || context.isClosed) return;
  const { status, log } = ending;
  const finishedAt = ending.finishedAt.toISOString();
  await context.keepRecord({ ...record, outcome: { status, log, finishedAt } });
}

async function attempt(
  context: RunContext,
  what: string,
  step: () => Promise<void>,
): Promise<boolean> {
  try {
    await step();
    return true;
  } catch (error) {
    context.warn(`A step of a run's end failed: ${what}`, error);
    return false;
  }
}
