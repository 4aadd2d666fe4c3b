import type { Clock } from '../../core/clock.ts';
import { V6Error } from '../../core/errors.ts';
import type { ContainerIdentity, UserIdentity } from '../auth/identity.ts';
import { assertCanForCollaboration, forbidden } from '../auth/permissions.ts';
import type { RunRecord, TaskDatabaseRecord, TaskRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';
import type { Events } from './events.ts';
import { notFound } from './nodes.ts';

export interface TaskServiceDeps {
  readonly store: Store;
  readonly events: Events;
  readonly clock: Pick<Clock, 'now'>;
}

export interface NewTask {
  readonly name: string;
  readonly description: string;
  readonly image: string;
  readonly collaborationId: number | undefined;
  readonly organizations: readonly { readonly id: number; readonly input: string }[];
  readonly databases: readonly TaskDatabaseRecord[];
}

const WHOLE = { offset: 0, limit: 1000, sort: [] } as const;

/** Throws V6_REQUEST_NOT_FOUND. */
export async function getTask(store: Store, id: number): Promise<TaskRecord> {
  const task = await store.tasks.find(id);
  if (task === undefined) throw notFound('task', id);
  return task;
}

/** A task with one run per organization, all stored or nothing; then the nodes hear of it. Throws V6_REQUEST_INVALID, _NOT_FOUND, V6_AUTH_FORBIDDEN. */
export async function createTask(
  deps: TaskServiceDeps,
  identity: UserIdentity | ContainerIdentity,
  input: NewTask,
): Promise<TaskRecord> {
  const collaborationId =
    input.collaborationId ?? (identity.kind === 'container' ? identity.collaborationId : undefined);
  if (collaborationId === undefined) throw invalid('collaboration_id', 'Missing.');
  const id = await deps.store.transaction(async (store) => {
    await checkParties(store, collaborationId, input);
    const origin =
      identity.kind === 'user'
        ? await userOrigin(identity, collaborationId)
        : await parentOrigin(store, identity, { collaborationId, image: input.image });
    return store.tasks.create({
      name: input.name,
      description: input.description,
      image: input.image,
      collaborationId,
      ...origin,
      createdAt: deps.clock.now(),
      databases: input.databases,
      runs: input.organizations.map(({ id: organizationId, input: text }) => ({
        organizationId,
        input: text,
      })),
    });
  });
  const task = await getTask(deps.store, id);
  deps.events.publish({
    type: 'new-task',
    collaborationId,
    task: { id, parent_id: task.parentId },
  });
  return task;
}

async function userOrigin(user: UserIdentity, collaborationId: number) {
  assertCanForCollaboration(user, 'task', 'create', collaborationId);
  if (!user.collaborationIds.includes(collaborationId)) {
    throw new V6Error(
      'V6_AUTH_FORBIDDEN',
      `Your organization is not in collaboration ${collaborationId}`,
      {
        hints: ['Results go to the organization that asks: use a user of a member organization.'],
      },
    );
  }
  return {
    jobId: undefined,
    parentId: null,
    initOrganizationId: user.organizationId,
    initUserId: user.id,
  };
}

/** A sub-task runs the very image of its parent, in its job and on behalf of its user. */
async function parentOrigin(
  store: Store,
  container: ContainerIdentity,
  wanted: { readonly collaborationId: number; readonly image: string },
) {
  const parent = await getTask(store, container.taskId);
  if (wanted.collaborationId !== container.collaborationId)
    throw forbidden('A sub-task stays in the collaboration of its parent');
  if (wanted.image !== container.image || wanted.image !== parent.image)
    throw forbidden('A sub-task runs the image of its parent');
  // Read again inside the transaction: the run may have ended since the token was checked.
  const run = await store.runs.find(container.runId);
  if (run === undefined || run.finishedAt !== null)
    throw forbidden('The run that asks for a sub-task has ended');
  return {
    jobId: parent.jobId,
    parentId: parent.id,
    initOrganizationId: container.organizationId,
    initUserId: parent.initUserId,
  };
}

async function checkParties(store: Store, collaborationId: number, input: NewTask): Promise<void> {
  const collaboration = await store.collaborations.find(collaborationId);
  if (collaboration === undefined) throw notFound('collaboration', collaborationId);
  const ids = input.organizations.map((organization) => organization.id);
  const repeated = ids.find((id, at) => ids.indexOf(id) !== at);
  if (repeated !== undefined)
    throw invalid('organizations', `Organization ${repeated} is named twice.`);
  const members = await store.collaborations.members(collaborationId);
  const strangers = ids.filter((id) => !members.includes(id));
  if (strangers.length > 0) {
    throw invalid(
      'organizations',
      `Not in collaboration ${collaborationId}: ${strangers.join(', ')}.`,
    );
  }
  const { rows: nodes } = await store.nodes.list(
    { organizationIds: ids, collaborationIds: [collaborationId] },
    WHOLE,
  );
  const without = ids.filter((id) => !nodes.some((node) => node.organizationId === id));
  if (without.length > 0)
    throw invalid('organizations', `Without a node in the collaboration: ${without.join(', ')}.`);
  for (const organization of input.organizations) checkInput(organization, collaboration.encrypted);
}

/** Plain input is base64; encrypted input is base64$base64$base64 (key, nonce, text). */
function checkInput(
  { id, input }: { readonly id: number; readonly input: string },
  isEncrypted: boolean,
): void {
  const parts = input.split('$');
  const isBase64 = parts.every((part) => part.length % 4 === 0 && /^[\w+/-]*={0,2}$/.test(part));
  if (isBase64 && parts.length === (isEncrypted ? 3 : 1)) return;
  throw invalid(
    'organizations',
    isEncrypted
      ? `The collaboration is encrypted, the input for organization ${id} is not.`
      : `The collaboration is not encrypted: the input for organization ${id} must be base64.`,
  );
}

const invalid = (field: string, message: string): V6Error =>
  new V6Error('V6_REQUEST_INVALID', message, { details: { errors: { [field]: [message] } } });

/** Ends all open runs of the task and of every task below it, and tells the nodes. Throws V6_REQUEST_CONFLICT when it has ended. */
export async function killTask(deps: TaskServiceDeps, task: TaskRecord): Promise<number> {
  const killed = await closeRuns(deps, task);
  if (killed.length === 0)
    throw new V6Error('V6_REQUEST_CONFLICT', `Task ${task.id} has already ended`);
  return killed.length;
}

/** Removes the task and all below it; what still runs is killed first. */
export async function removeTask(deps: TaskServiceDeps, task: TaskRecord): Promise<void> {
  await closeRuns(deps, task);
  await deps.store.tasks.remove(task.id);
}

async function closeRuns(deps: TaskServiceDeps, task: TaskRecord): Promise<readonly RunRecord[]> {
  const now = deps.clock.now();
  const open = await deps.store.transaction(async (store) => {
    const taskIds = await store.tasks.family(task.id);
    const runs = await listAll((offset) =>
      store.runs.list({ taskIds, isOpen: true }, { ...WHOLE, offset }),
    );
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
  if (open.length === 0) return open;
  deps.events.publish({ type: 'kill', kill: killOf(task.collaborationId, open) });
  for (const run of open) {
    const { collaborationId, id: runId } = run;
    deps.events.publish({ type: 'run-changed', collaborationId, runId });
  }
  return open;
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

/** All rows of a list, page by page. */
export async function listAll<T>(
  page: (offset: number) => Promise<{ readonly rows: readonly T[] }>,
): Promise<readonly T[]> {
  const all: T[] = [];
  for (;;) {
    const { rows } = await page(all.length);
    all.push(...rows);
    if (rows.length < WHOLE.limit) return all;
  }
}
