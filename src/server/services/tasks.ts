import type { Clock } from '../../core/clock.ts';
import { V6Error } from '../../core/errors.ts';
import type { ContainerIdentity, UserIdentity } from '../auth/identity.ts';
import { assertCanForCollaboration, forbidden } from '../auth/permissions.ts';
import type {
  CollaborationRecord,
  NodeRecord,
  TaskDatabaseRecord,
  TaskRecord,
} from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';
import type { Events } from './events.ts';
import { LARGEST_PAGE } from './list-all.ts';
import { notFound } from './nodes.ts';
import { getCollaboration } from './parties.ts';

export interface TaskServiceDeps {
  readonly store: Store;
  readonly events: Events;
  readonly clock: Pick<Clock, 'now'>;
}

export interface NewTask {
  readonly name: string;
  readonly description: string;
  readonly image: string;
  /** Undefined: that of the study, or of the container that asks. */
  readonly collaborationId: number | undefined;
  /** Undefined: none, or that of the container that asks. */
  readonly studyId?: number | undefined;
  readonly organizations: readonly { readonly id: number; readonly input: string }[];
  readonly databases: readonly TaskDatabaseRecord[];
}

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
  const id = await deps.store.transaction(async (store) => {
    const { collaborationId, studyId } = await scopeOfTask(store, identity, input);
    const collaboration = await getCollaboration(store, collaborationId);
    const origin =
      identity.kind === 'user'
        ? userOrigin(identity, collaborationId)
        : await parentOrigin(store, identity, { collaborationId, image: input.image });
    await checkParties(store, { collaboration, studyId, input, identity });
    return store.tasks.create({
      name: input.name,
      description: input.description,
      image: input.image,
      collaborationId,
      studyId,
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
  const { collaborationId, parentId } = task;
  deps.events.publish({ type: 'new-task', collaborationId, task: { id, parent_id: parentId } });
  return task;
}

/** Where a task takes place. A sub-task stays in the study of its parent, named or not. */
async function scopeOfTask(
  store: Store,
  identity: UserIdentity | ContainerIdentity,
  { collaborationId, studyId }: NewTask,
): Promise<{ readonly collaborationId: number; readonly studyId: number | null }> {
  const own = identity.kind === 'container' ? identity : undefined;
  if (own !== undefined && studyId !== undefined && studyId !== own.studyId)
    throw forbidden('A sub-task stays in the study of its parent');
  const study = studyId ?? own?.studyId ?? undefined;
  if (study === undefined) {
    const place = collaborationId ?? own?.collaborationId;
    if (place === undefined) throw invalid('collaboration_id', 'This or study_id is needed.');
    return { collaborationId: place, studyId: null };
  }
  const found = await store.studies.find(study);
  if (found === undefined) throw notFound('study', study);
  if (collaborationId !== undefined && collaborationId !== found.collaborationId)
    throw invalid('study_id', `Study ${study} is not in collaboration ${collaborationId}.`);
  return { collaborationId: found.collaborationId, studyId: study };
}

function userOrigin(user: UserIdentity, collaborationId: number) {
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

async function checkParties(
  store: Store,
  wanted: {
    readonly collaboration: CollaborationRecord;
    readonly studyId: number | null;
    readonly input: NewTask;
    readonly identity: UserIdentity | ContainerIdentity;
  },
): Promise<void> {
  const { collaboration, studyId, input, identity } = wanted;
  const ids = input.organizations.map((organization) => organization.id);
  const wantedIds = new Set<number>();
  const repeated = ids.find((id) => wantedIds.size === wantedIds.add(id).size);
  if (repeated !== undefined)
    throw invalid('organizations', `Organization ${repeated} is named twice.`);
  const inside = await store.collaborations.members(collaboration.id);
  assertAmong(ids, inside, `collaboration ${collaboration.id}`);
  if (studyId !== null) assertAmong(ids, await store.studies.members(studyId), `study ${studyId}`);
  const { rows: nodes } = await store.nodes.list(
    { organizationIds: ids, collaborationIds: [collaboration.id] },
    LARGEST_PAGE,
  );
  const withNode = new Set(nodes.map((node) => node.organizationId));
  const without = ids.filter((id) => !withNode.has(id));
  if (without.length > 0)
    throw invalid('organizations', `Without a node in the collaboration: ${without.join(', ')}.`);
  if (identity.kind === 'user') await checkPolicies(store, identity, nodes);
  for (const organization of input.organizations) checkInput(organization, collaboration.encrypted);
}

function assertAmong(ids: readonly number[], members: readonly number[], where: string): void {
  const inside = new Set(members);
  const strangers = ids.filter((id) => !inside.has(id));
  if (strangers.length > 0)
    throw invalid('organizations', `Not in ${where}: ${strangers.join(', ')}.`);
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

/**
 * Nodes may tell whose tasks they take: ids or names of users and organizations. One that says nothing, or is away, is asked
 * later: its run ends as `not allowed`.
 */
async function checkPolicies(
  store: Store,
  user: UserIdentity,
  nodes: readonly NodeRecord[],
): Promise<void> {
  const own = await store.organizations.find(user.organizationId);
  const users = [String(user.id), user.user.username];
  const organizations = [String(user.organizationId), own?.name ?? ''];
  const refusing = nodes.filter(({ config }) => {
    const limits = config.filter(({ key }) => key === 'allowed_users' || key === 'allowed_orgs');
    return (
      limits.length > 0 &&
      !limits.some(({ key, value }) =>
        (key === 'allowed_users' ? users : organizations).includes(value),
      )
    );
  });
  if (refusing.length === 0) return;
  const names = refusing.map((node) => node.name).join(', ');
  throw invalid('organizations', `These nodes do not take tasks of yours: ${names}.`);
}

const invalid = (field: string, message: string): V6Error =>
  new V6Error('V6_REQUEST_INVALID', message, { details: { errors: { [field]: [message] } } });
