import { V6Error } from '../../core/errors.ts';
import type { NodeRecord, RuleRecord, UserRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';
import { rulesOf } from './rules.ts';
import type { Subject, Tokens, TokenType } from './tokens.ts';

export interface UserIdentity {
  readonly kind: 'user';
  readonly id: number;
  readonly organizationId: number;
  /** Collaborations of the user's organization. */
  readonly collaborationIds: readonly number[];
  /** Effective ones: of all roles, and those given directly. */
  readonly rules: readonly RuleRecord[];
  readonly user: UserRecord;
}

export interface NodeIdentity {
  readonly kind: 'node';
  readonly id: number;
  readonly organizationId: number;
  readonly collaborationId: number;
  readonly node: NodeRecord;
}

/** An algorithm container: one open run of one task. */
export interface ContainerIdentity {
  readonly kind: 'container';
  readonly nodeId: number;
  readonly organizationId: number;
  readonly collaborationId: number;
  readonly taskId: number;
  /** Of the task; null when it is for the whole collaboration. */
  readonly studyId: number | null;
  /** Of the task that this one is a sub-task of. */
  readonly parentId: number | null;
  readonly runId: number;
  readonly image: string;
}

export type Identity = UserIdentity | NodeIdentity | ContainerIdentity;

export interface Authenticated {
  readonly identity: Identity;
  /** End of the token; undefined for containers. */
  readonly expiresAt: Date | undefined;
}

/**
 * Who a bearer token stands for, as the database knows it now. Throws V6_AUTH_REQUIRED (no token, or its owner is gone),
 * V6_AUTH_TOKEN_EXPIRED (also when the run of a container has ended), V6_AUTH_TOKEN_INVALID.
 */
export async function authenticate(
  deps: { readonly store: Store; readonly tokens: Tokens },
  authorization: string | undefined,
  type: TokenType = 'access',
): Promise<Authenticated> {
  const token = /^Bearer (\S+)$/i.exec(authorization ?? '')?.[1];
  if (token === undefined) {
    throw new V6Error('V6_AUTH_REQUIRED', 'The request carries no bearer token', {
      hints: ['Log in first.'],
    });
  }
  const subject = await deps.tokens.read(token, type);
  const identity = await findIdentity(deps.store, subject);
  return { identity, expiresAt: subject.kind === 'container' ? undefined : subject.expiresAt };
}

async function findIdentity(store: Store, subject: Subject): Promise<Identity> {
  if (subject.kind === 'container') return findContainer(store, subject);
  if (subject.kind === 'node') {
    const node = await store.nodes.find(subject.id);
    if (node === undefined || isEnded(node, subject)) throw ownerGone('node');
    const { id, organizationId, collaborationId } = node;
    return { kind: 'node', id, organizationId, collaborationId, node };
  }
  const user = await store.users.find(subject.id);
  if (user === undefined || isEnded(user, subject)) throw ownerGone('user');
  return {
    kind: 'user',
    id: user.id,
    organizationId: user.organizationId,
    collaborationIds: await store.collaborations.ofOrganization(user.organizationId),
    rules: await effectiveRules(store, user),
    user,
  };
}

/** All rules that a user has: those of the roles, and those given directly. */
export async function effectiveRules(
  store: Pick<Store, 'rules'>,
  user: Pick<UserRecord, 'roles' | 'ruleIds'>,
): Promise<readonly RuleRecord[]> {
  const ofRoles = await store.rules.ofRoles(user.roles.map((role) => role.id));
  return rulesOf([...ofRoles, ...user.ruleIds]);
}

const isEnded = (
  record: { readonly tokenGeneration: number },
  subject: { readonly generation: number | undefined },
): boolean => subject.generation !== undefined && subject.generation !== record.tokenGeneration;

async function findContainer(
  store: Store,
  { subject }: Extract<Subject, { kind: 'container' }>,
): Promise<ContainerIdentity> {
  const { task_id: taskId, organization_id: organizationId, node_id: nodeId } = subject;
  const run = await store.runs.findOfTask(taskId, organizationId);
  if (run === undefined || run.node?.id !== nodeId) throw ownerGone('run');
  if (run.finishedAt !== null) {
    throw new V6Error('V6_AUTH_TOKEN_EXPIRED', 'The token ended with its run', {
      details: { run: run.id },
    });
  }
  return {
    kind: 'container',
    nodeId,
    organizationId,
    collaborationId: run.collaborationId,
    taskId,
    studyId: run.studyId,
    parentId: run.parentId,
    runId: run.id,
    image: subject.image,
  };
}

const ownerGone = (what: string): V6Error =>
  new V6Error('V6_AUTH_REQUIRED', `The ${what} of this token is gone, or its tokens were ended`, {
    hints: ['Log in again.'],
  });
