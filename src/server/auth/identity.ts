import { V6Error } from '../../core/errors.ts';
import type { NodeRecord, RuleRecord, UserRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';
import { rulesOf } from './rules.ts';
import type { Subject, TokenSession, Tokens } from './tokens.ts';

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
  /** The login that the token comes from; undefined for containers. */
  readonly session: TokenSession | undefined;
}

/**
 * Who a bearer token stands for, as the database knows it now. Throws V6_AUTH_REQUIRED (no token, or its owner is gone),
 * V6_AUTH_TOKEN_EXPIRED (also when the run of a container has ended), V6_AUTH_TOKEN_INVALID.
 */
export async function authenticate(
  deps: { readonly store: Store; readonly tokens: Tokens },
  authorization: string | undefined,
): Promise<Authenticated> {
  const subject = await deps.tokens.read(bearerOf(authorization), 'access');
  const identity = await findIdentity(deps.store, subject);
  if (subject.kind === 'container') return { identity, expiresAt: undefined, session: undefined };
  await checkSession(deps.store, subject);
  return { identity, expiresAt: subject.expiresAt, session: subject.session };
}

/** The token of an authorization header. Throws V6_AUTH_REQUIRED. */
export function bearerOf(authorization: string | undefined): string {
  const token = /^Bearer (\S+)$/i.exec(authorization ?? '')?.[1];
  if (token !== undefined) return token;
  throw new V6Error('V6_AUTH_REQUIRED', 'The request carries no bearer token', {
    hints: ['Log in first.'],
  });
}

/** Sessions that were never refreshed or ended are not in the table. */
async function checkSession(store: Store, { session: used }: AccountSubject): Promise<void> {
  const session = used && (await store.sessions.find(used.id));
  if (used === undefined || session === undefined) return;
  if (session.endedAt !== null) throw ownerGone('session');
  // The answer to the last refresh has arrived: its predecessor is no longer a repetition.
  if (used.sequence === session.sequence && session.confirmed < used.sequence)
    await store.sessions.confirm(session.id, used.sequence);
}

type AccountSubject = Exclude<Subject, { kind: 'container' }>;

/** The user or node of a token, as long as its tokens were not ended. Throws V6_AUTH_REQUIRED. */
export async function accountOf(
  store: Store,
  subject: AccountSubject,
): Promise<UserRecord | NodeRecord> {
  const account =
    subject.kind === 'node'
      ? await store.nodes.find(subject.id)
      : await store.users.find(subject.id);
  if (account === undefined || isEnded(account, subject)) throw ownerGone(subject.kind);
  return account;
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

/** Of tokens that another program made with our key: they end with the first change of a password or key. */
const FIRST_GENERATION = 1;

const isEnded = (
  record: { readonly tokenGeneration: number },
  subject: { readonly generation: number | undefined },
): boolean => (subject.generation ?? FIRST_GENERATION) !== record.tokenGeneration;

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
