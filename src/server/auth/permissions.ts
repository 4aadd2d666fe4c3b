import { V6Error } from '../../core/errors.ts';
import type {
  NodeRecord,
  Operation,
  Resource,
  RuleRecord,
  RunRecord,
  Scope,
  TaskRecord,
  UserRecord,
} from '../interfaces/records.ts';
import type { RoleScope, StudyFilter } from '../interfaces/rights-store.ts';
import type { Identity, NodeIdentity, UserIdentity } from './identity.ts';
import { firstNotCovered, scopeOf } from './rules.ts';

/** What of a kind of record somebody sees: everything, or what matches one of these. */
export interface Visible {
  readonly isAll: boolean;
  readonly collaborationIds?: readonly number[];
  readonly organizationId?: number;
  readonly userId?: number;
}

/** Narrows an identity to the kinds that a route is for. Throws V6_AUTH_FORBIDDEN. */
export function requireKind<K extends Identity['kind']>(
  identity: Identity,
  ...kinds: readonly K[]
): Extract<Identity, { kind: K }> {
  if ((kinds as readonly string[]).includes(identity.kind))
    return identity as Extract<Identity, { kind: K }>;
  throw forbidden(`This is for a ${kinds.join(' or ')}, and not for a ${identity.kind}`);
}

export function forbidden(message: string): V6Error {
  return new V6Error('V6_AUTH_FORBIDDEN', message, {
    hints: ['Ask an administrator of the server for the right.'],
  });
}

const may = (user: UserIdentity, resource: Resource, operation: Operation): Scope | undefined =>
  scopeOf(user.rules, resource, operation);

/** Tasks, runs and results that somebody sees. Nodes and algorithms never look beyond their own collaboration. Throws V6_AUTH_FORBIDDEN. */
export function visibleWork(identity: Identity, resource: 'task' | 'run'): Visible {
  if (identity.kind !== 'user')
    return { isAll: false, collaborationIds: [identity.collaborationId] };
  const scope = may(identity, resource, 'view');
  switch (scope) {
    case 'global':
      return { isAll: true };
    case 'collaboration':
      return { isAll: false, collaborationIds: identity.collaborationIds };
    case 'organization':
      return { isAll: false, organizationId: identity.organizationId };
    case 'own':
      return { isAll: false, userId: identity.id };
    case undefined:
      throw forbidden(`You may not view any ${resource}`);
  }
}

/** Throws V6_AUTH_FORBIDDEN unless the task or run is among what the identity sees. */
export function assertCanViewWork(
  identity: Identity,
  work: Pick<
    TaskRecord | RunRecord,
    'collaborationId' | 'initOrganizationId' | 'initUserId' | 'id'
  >,
  resource: 'task' | 'run',
): void {
  const visible = visibleWork(identity, resource);
  const isVisible =
    visible.isAll ||
    visible.collaborationIds?.includes(work.collaborationId) === true ||
    visible.organizationId === work.initOrganizationId ||
    (visible.userId !== undefined && visible.userId === work.initUserId);
  if (!isVisible) throw forbidden(`You may not view this ${resource}`);
}

/** Organizations or collaborations that somebody sees, as a set of collaborations and the own organization. Throws V6_AUTH_FORBIDDEN. */
export function visibleParties(
  identity: Identity,
  resource: 'organization' | 'collaboration' | 'node' | 'user',
): Visible {
  if (identity.kind !== 'user') {
    return {
      isAll: false,
      collaborationIds: [identity.collaborationId],
      organizationId: identity.organizationId,
    };
  }
  const scope = may(identity, resource, 'view');
  if (scope === 'global') return { isAll: true };
  const own = { isAll: false, organizationId: identity.organizationId };
  if (scope === 'collaboration') return { ...own, collaborationIds: identity.collaborationIds };
  if (scope === 'organization') return own;
  if (scope === 'own') return { isAll: false, userId: identity.id };
  throw forbidden(`You may not view any ${resource}`);
}

/**
 * Throws V6_AUTH_FORBIDDEN unless the user's rules cover the organization; `shares` says whether that organization is in a
 * collaboration with the user's own.
 */
export function assertCanForOrganization(
  user: UserIdentity,
  resource: Resource,
  operation: Operation,
  target: { readonly organizationId: number; readonly shares: boolean },
): void {
  const scope = may(user, resource, operation);
  if (scope === 'global') return;
  const isOwn = target.organizationId === user.organizationId;
  if (scope === 'organization' && isOwn) return;
  if (scope === 'collaboration' && (isOwn || target.shares)) return;
  throw forbidden(`You may not ${operation} this ${resource}`);
}

/** Throws V6_AUTH_FORBIDDEN unless the user's rules cover the collaboration. */
export function assertCanForCollaboration(
  user: UserIdentity,
  resource: Resource,
  operation: Operation,
  collaborationId: number,
): void {
  const scope = may(user, resource, operation);
  if (scope === 'global') return;
  if (scope === 'collaboration' && user.collaborationIds.includes(collaborationId)) return;
  throw forbidden(`You may not ${operation} a ${resource} in this collaboration`);
}

/** Nodes belong to an organization and to a collaboration: a rule for either covers them. Throws V6_AUTH_FORBIDDEN. */
export function assertCanForNode(
  user: UserIdentity,
  operation: 'view' | 'create' | 'edit' | 'delete',
  node: Pick<NodeRecord, 'organizationId' | 'collaborationId'>,
): void {
  const scope = may(user, 'node', operation);
  if (scope === 'global') return;
  const isOwn = node.organizationId === user.organizationId;
  if (isOwn && (scope === 'organization' || scope === 'collaboration')) return;
  if (scope === 'collaboration' && user.collaborationIds.includes(node.collaborationId)) return;
  throw forbidden(`You may not ${operation} this node`);
}

/** Throws V6_AUTH_FORBIDDEN unless the user has the rule without limits. */
export function assertGlobal(user: UserIdentity, resource: Resource, operation: Operation): void {
  if (may(user, resource, operation) !== 'global')
    throw forbidden(`You may not ${operation} a ${resource}`);
}

/**
 * Deleting and killing: the collaboration's rule, the organization's for tasks of the own one, the own one for own tasks. Who
 * started a task may kill it without a rule, unlike upstream, where a Researcher cannot stop what runs in his name.
 */
export function assertCanEndTask(
  user: UserIdentity,
  task: TaskRecord,
  right: { readonly resource: 'task' | 'event'; readonly operation: 'delete' | 'send' },
): void {
  const scope = may(user, right.resource, right.operation);
  const isAllowed =
    scope === 'global' ||
    (scope === 'collaboration' && user.collaborationIds.includes(task.collaborationId)) ||
    (scope === 'organization' && task.initOrganizationId === user.organizationId) ||
    (task.initUserId === user.id && (scope !== undefined || right.resource === 'event'));
  if (!isAllowed) throw forbidden('You may not end this task');
}

export function assertCanEditUser(user: UserIdentity, target: UserRecord, shares: boolean): void {
  if (target.id === user.id && may(user, 'user', 'edit') !== undefined) return;
  assertCanForOrganization(user, 'user', 'edit', {
    organizationId: target.organizationId,
    shares,
  });
}

/** Any rule for deleting users covers the own account. Throws V6_AUTH_FORBIDDEN. */
export function assertCanLeave(user: UserIdentity): void {
  if (may(user, 'user', 'delete') === undefined)
    throw forbidden('You may not delete your own account');
}

/** A node may change itself only. */
export function assertOwnNode(identity: NodeIdentity, node: NodeRecord): void {
  if (identity.id !== node.id) throw forbidden('A node may change only itself');
}

/** Runs belong to the node of their organization in their collaboration. */
export function assertOwnRun(identity: NodeIdentity, run: RunRecord): void {
  const isOwn =
    run.organizationId === identity.organizationId &&
    run.collaborationId === identity.collaborationId;
  if (!isOwn) throw forbidden('This run is not one of this node');
}

/** What somebody gives to others must not be more than what they have. Throws V6_AUTH_FORBIDDEN. */
export function assertCanGrant(user: UserIdentity, rules: readonly RuleRecord[]): void {
  const missing = firstNotCovered(user.rules, rules);
  if (missing === undefined) return;
  throw forbidden(
    `You do not have the rule ${missing.id} (${missing.operation} ${missing.resource}, ${missing.scope}), so you cannot give or take it`,
  );
}

/** Who may change the account of another must have all of that one's rights: else a change of the mail address would win them. */
export function assertNotAbove(user: UserIdentity, rules: readonly RuleRecord[]): void {
  if (firstNotCovered(user.rules, rules) !== undefined)
    throw forbidden('This user has rights that you do not have');
}

/** Which roles somebody sees: the own ones always, the fixed ones and those of organizations with a rule. Undefined for all. */
export function visibleRoles(
  user: UserIdentity,
  partners: readonly number[],
): RoleScope | undefined {
  const scope = may(user, 'role', 'view');
  if (scope === 'global') return undefined;
  const ids = user.user.roles.map((role) => role.id);
  if (scope === 'collaboration') return { ids, organizationIds: partners, serverWide: true };
  if (scope === 'organization')
    return { ids, organizationIds: [user.organizationId], serverWide: true };
  return { ids, organizationIds: [], serverWide: false };
}

/** Which studies somebody sees: of which collaborations, and whether only those that the own organization is in. Throws V6_AUTH_FORBIDDEN. */
export function visibleStudies(
  identity: Identity,
): Pick<StudyFilter, 'collaborationIds' | 'memberId'> {
  const memberId = identity.organizationId;
  if (identity.kind !== 'user') return { collaborationIds: [identity.collaborationId], memberId };
  const scope = may(identity, 'study', 'view');
  if (scope === 'global') return {};
  if (scope === 'collaboration') return { collaborationIds: identity.collaborationIds };
  if (scope === 'organization') return { collaborationIds: identity.collaborationIds, memberId };
  throw forbidden('You may not view any study');
}

/** Throws V6_AUTH_FORBIDDEN unless a rule covers the study: for its collaboration, or as a member of it. */
export function assertCanForStudy(
  user: UserIdentity,
  operation: 'edit' | 'delete',
  study: { readonly collaborationId: number; readonly members: readonly number[] },
): void {
  const scope = may(user, 'study', operation);
  if (scope === 'global') return;
  const isInside = user.collaborationIds.includes(study.collaborationId);
  if (scope === 'collaboration' && isInside) return;
  if (scope === 'organization' && isInside && study.members.includes(user.organizationId)) return;
  throw forbidden(`You may not ${operation} this study`);
}

/** Ending everything on a node: event send, for all, for the node's collaboration or for nodes of the own organization. */
export function assertCanKillAt(user: UserIdentity, node: NodeRecord): void {
  const scope = may(user, 'event', 'send');
  const isAllowed =
    scope === 'global' ||
    (scope === 'collaboration' && user.collaborationIds.includes(node.collaborationId)) ||
    (scope === 'organization' && node.organizationId === user.organizationId);
  if (!isAllowed) throw forbidden('You may not end the tasks of this node');
}
