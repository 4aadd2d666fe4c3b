import { V6Error } from '../../core/errors.ts';
import type { NodeRecord, RunRecord, TaskRecord } from '../interfaces/records.ts';
import type { RunFilter, TaskFilter } from '../interfaces/store.ts';
import { listAll } from './list-all.ts';
import { type TaskServiceDeps } from './tasks.ts';

/** Ends all open runs of the task and of every task below it, and tells the nodes. Throws V6_REQUEST_CONFLICT when it has ended. */
export async function killTask(deps: TaskServiceDeps, task: TaskRecord): Promise<number> {
  const killed = await closeTask(deps, task);
  if (killed.length === 0)
    throw new V6Error('V6_REQUEST_CONFLICT', `Task ${task.id} has already ended`);
  return killed.length;
}

/** Removes the task and all below it; what still runs is killed first. */
export async function removeTask(deps: TaskServiceDeps, task: TaskRecord): Promise<void> {
  await closeTask(deps, task);
  await deps.store.tasks.remove(task.id);
}

/** Ends everything that is open in these tasks and below them. */
export async function closeTasks(deps: TaskServiceDeps, filter: TaskFilter): Promise<void> {
  const tasks = await listAll((page) => deps.store.tasks.list(filter, page));
  for (const task of tasks) await closeTask(deps, task);
}

/**
 * Ends all open runs of a node. A node that is away hears of it when it comes back. What a node runs that the server does not
 * know of is ended too: it is told to end everything. Resolves to the number of runs.
 */
export async function killNode(deps: TaskServiceDeps, node: NodeRecord): Promise<number> {
  const { id, collaborationId } = node;
  const closed = await closeRuns(deps, async () => runsOf(node));
  deps.events.publish({ type: 'kill', kill: { collaboration_id: collaborationId, node_id: id } });
  announce(deps, closed);
  return closed.length;
}

async function closeTask(deps: TaskServiceDeps, task: TaskRecord): Promise<readonly RunRecord[]> {
  const closed = await closeRuns(deps, async (store) => ({
    taskIds: await store.tasks.family(task.id),
  }));
  if (closed.length === 0) return closed;
  deps.events.publish({ type: 'kill', kill: killOf(task.collaborationId, closed) });
  announce(deps, closed);
  return closed;
}

/** Ends the open runs of a node that goes away for good: nobody else could. */
export async function closeRunsOfNode(deps: TaskServiceDeps, node: NodeRecord): Promise<void> {
  const { collaborationId } = node;
  const closed = await closeRuns(deps, async () => runsOf(node));
  if (closed.length === 0) return;
  deps.events.publish({ type: 'kill', kill: killOf(collaborationId, closed) });
  announce(deps, closed);
}

const runsOf = ({ organizationId, collaborationId }: NodeRecord): RunFilter => ({
  organizationId,
  collaborationIds: [collaborationId],
});

/** Closes what is open among these runs, with their ports, in one transaction. */
async function closeRuns(
  deps: TaskServiceDeps,
  which: (store: TaskServiceDeps['store']) => Promise<RunFilter>,
): Promise<readonly RunRecord[]> {
  const now = deps.clock.now();
  return deps.store.transaction(async (store) => {
    const filter = { ...(await which(store)), isOpen: true };
    const runs = await listAll((page) => store.runs.list(filter, page));
    for (const run of runs) {
      await store.runs.update(run.id, {
        status: 'killed by user',
        finishedAt: now,
        isKillPending: run.startedAt !== null,
      });
    }
    await store.ports.removeOfRuns(runs.map((run) => run.id));
    return runs;
  });
}

function announce(deps: TaskServiceDeps, runs: readonly RunRecord[]): void {
  for (const { collaborationId, id: runId } of runs)
    deps.events.publish({ type: 'run-changed', collaborationId, runId });
}

/** The event that tells nodes to end these runs. */
export function killOf(collaborationId: number, runs: readonly RunRecord[]) {
  return {
    collaboration_id: collaborationId,
    kill_list: runs.map((run) => ({
      task_id: run.taskId,
      run_id: run.id,
      organization_id: run.organizationId,
    })),
  };
}
