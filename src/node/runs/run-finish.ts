import { isV6Error, toV6Error } from '../../core/errors.ts';
import { refusalNotes } from '../../core/protocol/refusal-note.ts';
import type { Slot } from '../../core/vpn/slot.ts';
import { untilEngineAnswers } from '../engine-patience.ts';
import type { RunPatch } from '../interfaces/coordinator.ts';
import type { EndStatus } from '../interfaces/run-files.ts';
import { hasServerFailed, untilAnswered } from '../server-patience.ts';
import { resultOwner } from './initiator.ts';
import type { RunContext } from './run-context.ts';
import { failureNote, type RunEnding } from './run-ending.ts';
import { aWhileLonger } from './server-failures.ts';

/**
 * Undoes the start in reverse, tries every step, and tells the server in between: a port is free only when the server no longer
 * lists it. `reporting` ends the telling: what is not acknowledged then stays on disk for the next daemon, and the run keeps its
 * ports.
 */
export async function finishRun(
  context: RunContext,
  reached: RunEnding,
  reporting: AbortSignal,
): Promise<void> {
  const { deps, id, slot } = context;
  if (slot !== undefined) deps.proxy.withdraw(slot.index);
  const ending = slot === undefined ? reached : await leaveFamily(context, slot, reached);
  // The container is the only witness of the end until that is on the disk, or told.
  const isKept = await attempt(context, 'record', () => keepOutcome(context, ending));
  if (isKept) await giveUpSlot(context, reporting);
  const told = await report(context, ending, reporting);
  if (!isKept && told.isTold) await giveUpSlot(context, reporting);
  context.needsContainer = context.hasEnded && !isKept && !told.isTold;
  if (told.isTold) {
    deps.ports.release(id);
    await attempt(context, 'files', () => deps.files.remove(id));
  }
  context.enter('ended');
  const { status } = told;
  if (!context.isClosed) context.emit(status);
  deps.logger.info('A run ended', { run: id, task: context.open.task.id, status });
}

/** Takes the run's rules away; the ending with what they refused. */
async function leaveFamily(context: RunContext, slot: Slot, ending: RunEnding): Promise<RunEnding> {
  const { deps, id } = context;
  if (!context.hasRules) return ending;
  deps.families.leave(id);
  await attempt(context, 'rules', () => deps.vpn.removeRun(id, slot.algorithm));
  let notes: readonly string[] = [];
  await attempt(context, 'refusals', async () => {
    const { algorithm } = slot;
    const mappings = (context.record?.ports ?? []).map((lease) => ({
      ...lease,
      address: algorithm,
    }));
    notes = refusalNotes(await deps.vpn.takeRefusals({ algorithm, mappings }));
  });
  return { ...ending, log: `${notes.map((note) => `${note}\n`).join('')}${ending.log}` };
}

/** A slot with somebody in it is not given to another run. */
async function giveUpSlot(context: RunContext, signal: AbortSignal): Promise<void> {
  if (await removeContainer(context, signal)) context.deps.slots.release(context.id);
}

/** True when there is none any more. An engine that goes takes the algorithm along, and the next daemon removes what is left. */
async function removeContainer(context: RunContext, signal: AbortSignal): Promise<boolean> {
  const { deps, container } = context;
  if (container === undefined) return true;
  if (context.isEngineGoing) return false;
  return attempt(context, 'container', () =>
    untilEngineAnswers(deps, 'removal of a container', signal, () =>
      deps.engine.containers.remove(container),
    ),
  );
}

/** The server will not hear of the end. All else, such as an API key that is no longer good, may be over with the next start. */
function isRefusal(error: unknown): boolean {
  return isV6Error(error, 'V6_SERVER_REFUSED') && !hasServerFailed(error);
}

interface Report {
  /** The server has acknowledged the end, or will not hear of it. */
  readonly isTold: boolean;
  readonly status: EndStatus;
}

async function report(
  context: RunContext,
  ending: RunEnding,
  signal: AbortSignal,
): Promise<Report> {
  const { deps, id } = context;
  let { status } = ending;
  try {
    await context.registration?.withdraw(signal);
    if (context.isClosed) return { isTold: true, status };
    const patch = await seal(context, ending, signal);
    ({ status } = patch);
    const tell = (end: RunPatch) =>
      untilAnswered(
        deps,
        'end of a run',
        signal,
        () => deps.runs.patch(id, end, signal),
        aWhileLonger(),
      );
    await tell(patch).catch(async (error: unknown) => {
      if (patch.result === undefined || !isTooLarge(error)) throw error;
      const rest = withoutResult(context, ending, error);
      ({ status } = rest);
      await tell(rest);
    });
    return { isTold: true, status };
  } catch (error) {
    if (signal.aborted) return { isTold: false, status };
    if (!isRefusal(error)) {
      context.warn(
        'The server fails at the end of a run; the next start of the node tells it again',
        error,
      );
      return { isTold: false, status };
    }
    deps.logger.info('The server did not take the end of a run', { run: id, error });
    return { isTold: true, status };
  }
}

type LastPatch = RunPatch & { readonly status: EndStatus };

/** The end as it goes to the server. A result that cannot be encrypted for its owner does not go at all. */
async function seal(
  context: RunContext,
  ending: RunEnding,
  signal: AbortSignal,
): Promise<LastPatch> {
  const { deps, open } = context;
  const { status, finishedAt, log, payload } = ending;
  if (payload === undefined) return { status, finishedAt, log };
  try {
    const encrypt = () => deps.payloads.seal(payload, resultOwner(open), signal);
    const what = 'result of a run';
    const result = await untilAnswered(deps, what, signal, encrypt, aWhileLonger());
    return { status, finishedAt, log, result };
  } catch (error) {
    signal.throwIfAborted();
    return withoutResult(context, ending, error);
  }
}

/** A run whose result cannot be sent has failed. */
function withoutResult(
  context: RunContext,
  { finishedAt, log }: RunEnding,
  error: unknown,
): LastPatch {
  context.warn('The result of a run cannot be sent', error);
  const note = `${failureNote(toV6Error(error))}\nThe result of this run was not sent.\n`;
  return { status: 'failed', finishedAt, log: note + log };
}

/** RFC 9110 15.5.14: of our server, or of a proxy before one. It would be said of the same result again and again. */
function isTooLarge(error: unknown): boolean {
  return isV6Error(error) && error.details.status === 413;
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
