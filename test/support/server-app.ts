import { openStore } from '../../src/adapters/database/open.ts';
import { type AccountSettings, DEFAULT_ACCOUNTS } from '../../src/core/config/server-accounts.ts';
import {
  DEFAULT_TRANSPORT,
  type TransportSettings,
} from '../../src/core/config/server-transport.ts';
import type { Logger } from '../../src/core/logger.ts';
import { buildApp } from '../../src/server/app.ts';
import { hashPassword } from '../../src/server/auth/passwords.ts';
import { FIXED_ROLES } from '../../src/server/auth/roles.ts';
import { createTokens } from '../../src/server/auth/tokens.ts';
import type { NodeRecord } from '../../src/server/interfaces/records.ts';
import type { Store } from '../../src/server/interfaces/store.ts';
import { createAccounts } from '../../src/server/services/accounts.ts';
import { createEventHub, type ServerEvent } from '../../src/server/services/events.ts';
import { createNode } from '../../src/server/services/nodes.ts';
import { createPresence } from '../../src/server/services/presence.ts';
import { createVpnService } from '../../src/server/services/vpn.ts';
import { FakeMailer } from '../fakes/mailer.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { FakePortalConnector } from '../fakes/portal-connector.ts';
import { checkAnswers } from './answer-checker.ts';

export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string | string[] | number | undefined>>;
}

export interface Call {
  readonly token?: string | undefined;
  readonly body?: unknown;
  readonly from?: string;
}

const KEY = Buffer.alloc(32, 7);
export const PASSWORD = 'Right-pass-1';
export const IMAGE = 'registry.example/echo:1';
export const INPUT = Buffer.from('{"method":"echo"}').toString('base64');

export interface TestServerOptions {
  /** Default: SQLite in memory. */
  readonly uri?: string;
  readonly hasVpn?: boolean;
  /** Mail goes to `mailer`. */
  readonly hasMail?: boolean;
  readonly accounts?: Partial<AccountSettings>;
  readonly transport?: Partial<TransportSettings>;
}

/** Logs into a list. */
export function recordingLogger(): { logger: Logger; lines: string[] } {
  const lines: string[] = [];
  const write = (message: string, fields?: unknown): void => {
    lines.push(`${message} ${JSON.stringify(fields ?? {})}`);
  };
  return { logger: { debug: write, info: write, warn: write, error: write }, lines };
}

let newUri = async (): Promise<string> => 'sqlite:///:memory:';

/** From now on every server of this test file has a database of its own from here. */
export function useDatabases(make: () => Promise<string>): void {
  newUri = make;
}

/**
 * The REST interface on a database in memory, a clock that stands still and a portal in memory. An answer that is not as the
 * OpenAPI document says makes the request fail.
 */
export async function createTestServer(options: TestServerOptions = {}) {
  const clock = new ManualClock();
  const { logger, lines } = recordingLogger();
  const uri = options.uri ?? (await newUri());
  const store = await openStore({ uri, dataDir: '/', roles: FIXED_ROLES });
  const hub = createEventHub(logger);
  const events: ServerEvent[] = [];
  hub.subscribe((event) => events.push(event));
  const tokens = createTokens({ key: KEY, accessSeconds: 3600, refreshSeconds: 7200, clock });
  const mailer = new FakeMailer();
  const accounts = createAccounts({
    store,
    tokens,
    clock,
    events: hub,
    logger,
    keys: { apiKey: KEY, secondFactors: KEY, accounts: KEY },
    settings: { ...DEFAULT_ACCOUNTS, ...options.accounts },
    mailer: options.hasMail === true ? mailer : undefined,
  });
  const { login, sessions, recovery, mails } = accounts;
  const presence = createPresence({
    store,
    events: hub,
    clock,
    logger,
    graceMs: 1000,
    replica: { id: 'test', keyMark: '' },
  });
  const portal = new FakePortalConnector(() => clock.now());
  const vpn = createVpnService({
    store,
    portal,
    clock,
    logger,
    key: KEY,
    leaseGraceMs: 24 * 3_600_000,
  });
  const app = await buildApp({
    store,
    tokens,
    login,
    sessions,
    recovery,
    transport: { ...DEFAULT_TRANSPORT, ...options.transport },
    events: hub,
    presence,
    clock,
    logger,
    vpn: options.hasVpn === false ? undefined : vpn,
    apiKeyDigestKey: KEY,
    apiPath: '/api',
    vpnTrustedNetworks: [],
  });
  await checkAnswers(app);

  const call = async (method: string, path: string, { token, body, from }: Call = {}) => {
    const response = await app.inject({
      method: method as 'GET',
      url: `/api${path}`,
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      ...(body === undefined ? {} : { payload: body as object }),
      ...(from === undefined ? {} : { remoteAddress: from }),
    });
    return {
      status: response.statusCode,
      body: response.json(),
      headers: response.headers,
    } as Answer;
  };

  return {
    app,
    store,
    clock,
    hub,
    events,
    tokens,
    login,
    sessions,
    mails,
    mailer,
    presence,
    portal,
    vpn,
    lines,
    call,
    close: async () => {
      presence.close();
      await app.close();
      await store.close();
    },
  };
}

export type TestServer = Awaited<ReturnType<typeof createTestServer>>;

let passwordHash: Promise<string> | undefined;

/** A user with one role; the hash is made once, since it is slow. */
export async function addUser(
  server: TestServer,
  fields: { readonly username: string; readonly organization: number; readonly role: string },
): Promise<{ readonly id: number; readonly token: string; readonly refresh: string }> {
  passwordHash ??= hashPassword(PASSWORD);
  const hash = await passwordHash;
  const roles = (await server.store.users.roles()).filter((role) => role.name === fields.role);
  const id = await server.store.transaction((tx) =>
    tx.users.create({
      username: fields.username,
      firstname: '',
      lastname: '',
      email: `${fields.username}@example.org`,
      organizationId: fields.organization,
      passwordHash: hash,
      roles: roles.map((role) => role.id),
    }),
  );
  const user = await server.store.users.find(id);
  if (user === undefined) throw new Error('no user');
  const { access, refresh } = await server.login.issueFor(user);
  return { id, token: access, refresh };
}

export async function addOrganization(store: Store, name: string): Promise<number> {
  const empty = { domain: null, address1: null, address2: null, zipcode: null, country: null };
  return store.organizations.create({ name, ...empty, publicKey: '' });
}

export async function addNode(
  server: TestServer,
  organizationId: number,
  collaborationId: number,
): Promise<{ readonly node: NodeRecord; readonly apiKey: string; readonly token: string }> {
  const { node, apiKey } = await createNode(
    { store: server.store, apiKeyDigestKey: KEY },
    { organizationId, collaborationId, name: undefined },
  );
  const { access } = await server.login.node(apiKey);
  return { node, apiKey, token: access };
}

/**
 * Three organizations: North and South work together in Trial (1), North and East in Other (2). Users: root (Root), nora
 * (Researcher of North), vera (Viewer of North), enno (Researcher of East).
 */
export async function createWorld(options: TestServerOptions = {}) {
  const server = await createTestServer(options);
  const { store } = server;
  const home = await addOrganization(store, 'root');
  const north = await addOrganization(store, 'North');
  const south = await addOrganization(store, 'South');
  const east = await addOrganization(store, 'East');
  const trial = await store.collaborations.create({ name: 'Trial', encrypted: false });
  const other = await store.collaborations.create({ name: 'Other', encrypted: false });
  await store.collaborations.setMembers(trial, [north, south]);
  await store.collaborations.setMembers(other, [north, east]);
  const northNode = await addNode(server, north, trial);
  const southNode = await addNode(server, south, trial);
  const northOther = await addNode(server, north, other);
  const eastNode = await addNode(server, east, other);
  const root = await addUser(server, { username: 'root', organization: home, role: 'Root' });
  const nora = await addUser(server, { username: 'nora', organization: north, role: 'Researcher' });
  const vera = await addUser(server, { username: 'vera', organization: north, role: 'Viewer' });
  const enno = await addUser(server, { username: 'enno', organization: east, role: 'Researcher' });
  return {
    ...server,
    home,
    north,
    south,
    east,
    trial,
    other,
    northNode,
    southNode,
    northOther,
    eastNode,
    root,
    nora,
    vera,
    enno,
  };
}

export type World = Awaited<ReturnType<typeof createWorld>>;

/** A task of nora in Trial for these organizations; the answer of `POST /task`. */
export async function createTask(
  world: World,
  organizations: readonly number[] = [world.north, world.south],
): Promise<number> {
  const answer = await world.call('POST', '/task', {
    token: world.nora.token,
    body: {
      image: IMAGE,
      collaboration_id: world.trial,
      organizations: organizations.map((id) => ({ id, input: INPUT })),
      name: 'echo',
    },
  });
  if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
  return answer.body.id as number;
}

/** Ids of the runs of a task by organization. */
export async function runOf(world: World, task: number, organization: number): Promise<number> {
  const run = await world.store.runs.findOfTask(task, organization);
  if (run === undefined) throw new Error('no run');
  return run.id;
}

/** Token of the algorithm container of a node's run, as the node gets it. */
export async function containerOf(world: World, nodeToken: string, task: number): Promise<string> {
  const answer = await world.call('POST', '/token/container', {
    token: nodeToken,
    body: { task_id: task, image: IMAGE },
  });
  if (answer.status !== 200) throw new Error(JSON.stringify(answer.body));
  return answer.body.container_token as string;
}
