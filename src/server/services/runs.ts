import type { Clock } from '../../core/clock.ts';
import { V6Error } from '../../core/errors.ts';
import { isFailed, isFinished, type RunStatus } from '../../core/protocol/entities.ts';
import type { NodeIdentity } from '../auth/identity.ts';
import { assertOwnRun, forbidden } from '../auth/permissions.ts';
import type { Tokens } from '../auth/tokens.ts';
import type { RunRecord } from '../interfaces/records.ts';
import type { RunChanges, Store } from '../interfaces/store.ts';
import type { Events } from './events.ts';
import { listAll } from './list-all.ts';
import { notFound } from './nodes.ts';

export interface RunServiceDeps {
  readonly store: Store;
  readonly events: Events;
  readonly clock: Pick<Clock, 'now'>;
}

export interface RunPatch {
  readonly status?: RunStatus | undefined;
  readonly startedAt?: Date | undefined;
  readonly finishedAt?: Date | undefined;
  readonly result?: string | undefined;
  readonly log?: string | undefined;
}

/** Throws V6_REQUEST_NOT_FOUND. */
export async function getRun(store: Store, id: number): Promise<RunRecord> {
  const run = await store.runs.find(id);
  if (run === undefined) throw notFound('run', id);
  return run;
}

/**
 * Moves a run of this node on. What the patch leaves out is kept. A final status ends the run, with our time when it names
 * none, and takes its ports away in the same transaction. Afterwards it takes what `planAfterEnd` says.
 * Throws V6_AUTH_FORBIDDEN, V6_REQUEST_NOT_FOUND, V6_REQUEST_CONFLICT (ended, or no way from one status to the other).
 */
export async function patchRun(
  deps: RunServiceDeps,
  node: NodeIdentity,
  input: { readonly id: number; readonly patch: RunPatch },
): Promise<RunRecord> {
  const { id, patch } = input;
  const changed = await deps.store.transaction(async (store) => {
    const run = await getRun(store, id);
    assertOwnRun(node, run);
    if (run.isKillPending) await store.runs.update(id, { isKillPending: false });
    const changes =
      run.finishedAt === null
        ? planChanges(run, patch, deps.clock.now())
        : planAfterEnd(run, patch);
    if (changes === undefined)
      throw new V6Error('V6_REQUEST_CONFLICT', `Run ${id} has ended: ${run.status}`);
    if (Object.keys(changes).length === 0) return [];
    await store.runs.update(id, changes);
    if (changes.finishedAt === undefined) return [id];
    await store.ports.removeOfRuns([id]);
    const hasFailed = changes.status !== undefined && isFailed(changes.status);
    return hasFailed ? [id, ...(await failWaiting(store, run, deps.clock.now()))] : [id];
  });
  const run = await getRun(deps.store, id);
  const { collaborationId } = run;
  for (const runId of changed) deps.events.publish({ type: 'run-changed', collaborationId, runId });
  return run;
}

/**
 * A task with a failed run has failed, so runs of it that wait for a node that is away end too: else they would start for
 * nothing when it comes back. Upstream ends every run that has not started; ours lets nodes that are there go on, for partial
 * results are results. Resolves to the ids.
 */
async function failWaiting(store: Store, failed: RunRecord, now: Date): Promise<readonly number[]> {
  const filter = { taskIds: [failed.taskId], isWaiting: true } as const;
  const waiting = await listAll((page) => store.runs.list(filter, page));
  for (const { id } of waiting) {
    await store.runs.update(id, {
      status: 'failed',
      finishedAt: now,
      log: `Not started: run ${failed.id} of the same task has failed, and the node was away.`,
    });
  }
  await store.ports.removeOfRuns(waiting.map((run) => run.id));
  return waiting.map((run) => run.id);
}

/**
 * Pure. What a node may still send when its run has ended: the same end again, because the answer was lost; and result and log
 * when there is no result yet. Python nodes send a failed start twice, first the bare status and then the log; and a killed run
 * has ended here before its node knows. Undefined: nothing may change.
 */
export function planAfterEnd(run: RunRecord, patch: RunPatch): RunChanges | undefined {
  if (patch.status !== run.status) return undefined;
  const result = patch.result === run.result ? undefined : patch.result;
  const log = patch.log === run.log ? undefined : patch.log;
  if (result === undefined && log === undefined) return {};
  return run.result === null ? { result, log } : undefined;
}

/** Pure. Open statuses may repeat: a node that restarts begins its open runs again. */
export function planChanges(run: RunRecord, patch: RunPatch, now: Date): RunChanges {
  const { result, log, startedAt, finishedAt } = patch;
  const status = patch.status ?? (finishedAt === undefined ? undefined : ('completed' as const));
  if (status !== undefined && finishedAt !== undefined && !isFinished(status)) {
    throw new V6Error('V6_REQUEST_INVALID', `A run that is ${status} has no end`, {
      details: { errors: { finished_at: ['Only with a final status.'] } },
    });
  }
  if (status === 'pending' && run.status !== 'pending')
    throw new V6Error(
      'V6_REQUEST_CONFLICT',
      `Run ${run.id} is ${run.status}, and cannot be pending`,
    );
  const ends = status !== undefined && isFinished(status);
  return { status, startedAt, result, log, finishedAt: ends ? (finishedAt ?? now) : undefined };
}

/** Longest log that is kept while it is streamed, in characters. */
const MAX_LOG = 1_000_000;

/** Adds to the log of an open run; undefined when it is not one of this node, or has ended. */
export async function appendLog(
  deps: Pick<RunServiceDeps, 'store'>,
  node: NodeIdentity,
  line: { readonly runId: number; readonly text: string },
): Promise<RunRecord | undefined> {
  return deps.store.transaction(async (store) => {
    const run = await store.runs.find(line.runId);
    if (run === undefined || run.finishedAt !== null || !isOwn(node, run)) return undefined;
    const log = run.log === null ? line.text : `${run.log}\n${line.text}`;
    await store.runs.update(run.id, { log: log.slice(-MAX_LOG) });
    return run;
  });
}

export const isOwn = (node: NodeIdentity, run: RunRecord): boolean =>
  run.organizationId === node.organizationId && run.collaborationId === node.collaborationId;

/** The token of the algorithm container of this node's run. Throws V6_REQUEST_INVALID, V6_AUTH_FORBIDDEN, V6_REQUEST_CONFLICT. */
export async function containerToken(
  deps: { readonly store: Store; readonly tokens: Pick<Tokens, 'container'> },
  node: NodeIdentity,
  input: { readonly taskId: number; readonly image: string },
): Promise<string> {
  const task = await deps.store.tasks.find(input.taskId);
  // Upstream's status for an unknown task is 400, and not 404.
  if (task === undefined)
    throw new V6Error('V6_REQUEST_INVALID', `There is no task with id ${input.taskId}`);
  if (task.collaborationId !== node.collaborationId)
    throw forbidden(`Task ${task.id} is not of the collaboration of this node`);
  if (task.image !== input.image)
    throw forbidden(`${JSON.stringify(input.image)} is not the image of task ${task.id}`);
  const run = await deps.store.runs.findOfTask(task.id, node.organizationId);
  if (run === undefined) throw forbidden(`This node has no run in task ${task.id}`);
  if (run.finishedAt !== null)
    throw new V6Error('V6_REQUEST_CONFLICT', `The run of this node in task ${task.id} has ended`);
  return deps.tokens.container({
    client_type: 'container',
    node_id: node.id,
    organization_id: node.organizationId,
    collaboration_id: node.collaborationId,
    study_id: task.studyId,
    store_id: null,
    task_id: task.id,
    image: task.image,
    databases: task.databases.map(({ label, parameters }) => ({
      ...(JSON.parse(parameters) as Record<string, unknown>),
      label,
    })),
    database: task.databases[0]?.label ?? null,
  });
}
