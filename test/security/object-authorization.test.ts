import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  addNode,
  addOrganization,
  addUser,
  containerOf,
  createTask,
  createWorld,
  IMAGE,
  INPUT,
  runOf,
  type World,
} from '../support/server-app.ts';

/**
 * ASVS 5.0, 8.2 and 8.3: who may reach a function, and which objects. Every route of the OpenAPI document is asked by every kind
 * of caller for objects of others. The answer is a plain no: 403 for what somebody else has, 404 for what nobody has.
 */

/** Ids of one party's objects. */
interface Objects {
  readonly organization: number;
  readonly collaboration: number;
  readonly node: number;
  readonly user: number;
  readonly role: number;
  readonly study: number;
  readonly task: number;
  readonly run: number;
  readonly port: number;
}

const UNKNOWN: Objects = {
  organization: 99_999,
  collaboration: 99_999,
  node: 99_999,
  user: 99_999,
  role: 99_999,
  study: 99_999,
  task: 99_999,
  run: 99_999,
  port: 99_999,
};

type Caller =
  | 'viewer'
  | 'researcher'
  | 'organization admin'
  | 'collaboration admin'
  | 'nobody'
  | 'stranger'
  | 'node'
  | 'container';
/** Who may most stands last: what is deleted then is gone for the others. */
const CALLERS: readonly Caller[] = [
  'viewer',
  'researcher',
  'organization admin',
  'nobody',
  'stranger',
  'node',
  'container',
  'collaboration admin',
];

let world: World;
let tokens: Readonly<Record<Caller, string>>;
/** Of an organization and a collaboration that none of the callers has to do with. */
let foreign: Objects;
/** Of an organization that works together with the callers', in the same collaboration. */
let partner: Objects;

beforeAll(async () => {
  world = await createWorld();
  const role = async (username: string, organization: number, name: string) =>
    (await addUser(world, { username, organization, role: name })).token;
  const own = await createTask(world, [world.north]);
  tokens = {
    viewer: world.vera.token,
    researcher: world.nora.token,
    'organization admin': await role('oda', world.north, 'Organization Admin'),
    'collaboration admin': await role('cora', world.north, 'Collaboration Admin'),
    nobody: await role('nobody', world.north, ''),
    stranger: world.enno.token,
    node: world.northNode.token,
    container: await containerOf(world, world.northNode.token, own),
  };
  const west = await addOrganization(world.store, 'West');
  const far = await world.store.collaborations.create({ name: 'Far', encrypted: false });
  await world.store.collaborations.setMembers(far, [west]);
  foreign = await objectsOf('West', west, far, await addNode(world, west, far));
  partner = await objectsOf('South', world.south, world.trial, world.southNode);
});
afterAll(() => world.close());

/** One of everything, of this organization in this collaboration. */
async function objectsOf(
  name: string,
  organization: number,
  collaboration: number,
  { node, token }: { readonly node: { readonly id: number }; readonly token: string },
): Promise<Objects> {
  const user = await addUser(world, {
    username: `user.${name}`,
    organization,
    role: 'Researcher',
  });
  const made = async (path: string, body: object, caller = world.root.token): Promise<number> => {
    const answer = await world.call('POST', path, { token: caller, body });
    if (answer.status !== 201) throw new Error(`${path}: ${JSON.stringify(answer.body)}`);
    return answer.body.id as number;
  };
  const organizations = [{ id: organization, input: INPUT }];
  const task = await made(
    '/task',
    { image: IMAGE, collaboration_id: collaboration, organizations },
    user.token,
  );
  const run = await runOf(world, task, organization);
  return {
    organization,
    collaboration,
    node: node.id,
    user: user.id,
    role: await made('/role', {
      name: `Role of ${name}`,
      rules: [],
      organization_id: organization,
    }),
    study: await made('/study', {
      name: `Study of ${name}`,
      collaboration_id: collaboration,
      organization_ids: [organization],
    }),
    task,
    run,
    port: await made('/port', { run_id: run, port: 50_000 }, token),
  };
}

interface Row {
  /** Method and path of the OpenAPI document. */
  readonly route: string;
  readonly of: keyof Objects;
  readonly body?: (ids: Objects) => object;
  readonly query?: (ids: Objects) => string;
  /** Who it is for, besides users; default users only. */
  readonly kinds?: readonly ('user' | 'node' | 'container')[];
  /** Other than 404 for what nobody has. */
  readonly unknown?: number;
}

const EVERYONE = ['user', 'node', 'container'] as const;
const USER_AND_NODE = ['user', 'node'] as const;
const task = (ids: Objects, more: object) => ({
  image: IMAGE,
  organizations: [{ id: ids.organization, input: INPUT }],
  ...more,
});
const account = { username: 'new.user', email: 'new@example.org', password: 'Good-pass-1' };

/** Every route that is about one object, or makes one inside another. */
const ROWS: readonly Row[] = [
  { route: 'GET /organization/{id}', of: 'organization', kinds: EVERYONE },
  { route: 'PATCH /organization/{id}', of: 'organization', body: () => ({}), kinds: USER_AND_NODE },
  { route: 'DELETE /organization/{id}', of: 'organization' },
  { route: 'GET /collaboration/{id}', of: 'collaboration', kinds: EVERYONE },
  { route: 'PATCH /collaboration/{id}', of: 'collaboration', body: () => ({ name: 'Taken' }) },
  { route: 'DELETE /collaboration/{id}', of: 'collaboration' },
  { route: 'GET /collaboration/{id}/organization', of: 'collaboration', kinds: EVERYONE },
  {
    route: 'POST /collaboration/{id}/organization',
    of: 'collaboration',
    body: () => ({ id: world.north }),
  },
  {
    route: 'DELETE /collaboration/{id}/organization',
    of: 'collaboration',
    body: (ids) => ({ id: ids.organization }),
  },
  {
    route: 'POST /collaboration/{id}/node',
    of: 'collaboration',
    body: (ids) => ({ id: ids.node }),
  },
  {
    route: 'DELETE /collaboration/{id}/node',
    of: 'collaboration',
    body: (ids) => ({ id: ids.node }),
  },
  { route: 'GET /node/{id}', of: 'node', kinds: EVERYONE },
  {
    route: 'POST /node',
    of: 'collaboration',
    body: (ids) => ({ collaboration_id: ids.collaboration, organization_id: ids.organization }),
  },
  { route: 'PATCH /node/{id}', of: 'node', body: () => ({ name: 'Mine' }), kinds: USER_AND_NODE },
  { route: 'DELETE /node/{id}', of: 'node' },
  { route: 'POST /recover/node', of: 'node', body: (ids) => ({ id: ids.node }) },
  { route: 'GET /user/{id}', of: 'user' },
  {
    route: 'POST /user',
    of: 'organization',
    body: (ids) => ({ ...account, organization_id: ids.organization }),
  },
  { route: 'PATCH /user/{id}', of: 'user', body: () => ({ firstname: 'X' }) },
  { route: 'DELETE /user/{id}', of: 'user' },
  { route: 'GET /role/{id}', of: 'role' },
  {
    route: 'POST /role',
    of: 'organization',
    body: (ids) => ({ name: 'New', rules: [], organization_id: ids.organization }),
  },
  { route: 'PATCH /role/{id}', of: 'role', body: () => ({ description: 'x' }) },
  { route: 'DELETE /role/{id}', of: 'role' },
  { route: 'GET /role/{id}/rule', of: 'role' },
  { route: 'POST /role/{id}/rule/{rule_id}', of: 'role' },
  { route: 'DELETE /role/{id}/rule/{rule_id}', of: 'role' },
  { route: 'GET /study/{id}', of: 'study', kinds: EVERYONE },
  {
    route: 'POST /study',
    of: 'collaboration',
    body: (ids) => ({
      name: 'New study',
      collaboration_id: ids.collaboration,
      organization_ids: [ids.organization],
    }),
  },
  { route: 'PATCH /study/{id}', of: 'study', body: () => ({}) },
  { route: 'DELETE /study/{id}', of: 'study' },
  { route: 'POST /study/{id}/organization', of: 'study', body: () => ({ id: world.north }) },
  {
    route: 'DELETE /study/{id}/organization',
    of: 'study',
    body: (ids) => ({ id: ids.organization }),
  },
  { route: 'GET /task/{id}', of: 'task', kinds: EVERYONE },
  { route: 'GET /task/{id}/status', of: 'task', kinds: EVERYONE },
  { route: 'GET /task/{id}/result', of: 'task', kinds: EVERYONE },
  {
    route: 'POST /task',
    of: 'collaboration',
    body: (ids) => task(ids, { collaboration_id: ids.collaboration }),
    kinds: ['user', 'container'],
  },
  {
    route: 'POST /task',
    of: 'study',
    body: (ids) => task(ids, { study_id: ids.study }),
    kinds: ['user'],
  },
  { route: 'DELETE /task/{id}', of: 'task' },
  { route: 'POST /kill/task', of: 'task', body: (ids) => ({ id: ids.task }) },
  { route: 'POST /kill/node/tasks', of: 'node', body: (ids) => ({ id: ids.node }) },
  {
    route: 'POST /column',
    of: 'collaboration',
    body: (ids) => ({
      db_label: 'default',
      collaboration_id: ids.collaboration,
      organizations: [{ id: ids.organization }],
    }),
  },
  { route: 'GET /run/{id}', of: 'run', kinds: EVERYONE },
  { route: 'PATCH /run/{id}', of: 'run', body: () => ({ status: 'failed' }), kinds: ['node'] },
  { route: 'GET /result/{id}', of: 'run', kinds: EVERYONE },
  {
    route: 'POST /token/container',
    of: 'task',
    body: (ids) => ({ task_id: ids.task, image: IMAGE }),
    kinds: ['node'],
    // As upstream.
    unknown: 400,
  },
  {
    route: 'POST /port',
    of: 'run',
    body: (ids) => ({ run_id: ids.run, port: 50_001 }),
    kinds: ['node'],
  },
  { route: 'DELETE /port', of: 'run', query: (ids) => `run_id=${ids.run}`, kinds: ['node'] },
  { route: 'GET /port', of: 'run', query: (ids) => `run_id=${ids.run}`, kinds: USER_AND_NODE },
  { route: 'GET /port/{id}', of: 'port', kinds: USER_AND_NODE },
];

const LISTS: readonly string[] = [
  '/organization',
  '/collaboration',
  '/node',
  '/user',
  '/role',
  '/rule',
  '/study',
  '/task',
  '/run',
  '/result',
  '/port',
  '/algorithmstore',
];

/** Routes that are about no object of anybody: the caller itself, the whole server, or nothing at all. */
const OTHERS: readonly string[] = [
  'GET /version',
  'GET /health',
  'GET /apidocs',
  'GET /blobstream/status',
  'POST /blobstream',
  'GET /blobstream/{id}',
  'POST /token/user',
  'POST /token/node',
  'POST /token/refresh',
  'POST /token/logout',
  'GET /token/session',
  'POST /token/user/validate',
  'PATCH /password/change',
  'POST /recover/lost',
  'POST /recover/reset',
  'POST /recover/2fa/lost',
  'POST /recover/2fa/reset',
  'GET /vpn',
  'POST /vpn/update',
  'POST /vpn/release',
  'GET /vpn/algorithm/addresses',
  'POST /organization',
  'POST /collaboration',
  'GET /rule/{id}',
  'POST /algorithmstore',
  'GET /algorithmstore/{id}',
  'PATCH /algorithmstore/{id}',
  'DELETE /algorithmstore/{id}',
];

async function ask(row: Row, ids: Objects, token: string) {
  const [method = '', pattern = ''] = row.route.split(' ');
  const path = pattern.replace('{id}', String(ids[row.of])).replace('{rule_id}', '1');
  const query = row.query === undefined ? '' : `?${row.query(ids)}`;
  return world.call(method, `${path}${query}`, { token, body: row.body?.(ids) });
}

/** Everything that the database holds, to see that a no has changed nothing. */
async function contents(): Promise<string> {
  const page = { offset: 0, limit: 1000, sort: [] };
  const { store } = world;
  const all = await Promise.all([
    store.organizations.list({}, page),
    store.collaborations.list({}, page),
    store.nodes.list({}, page),
    store.users.list({}, page),
    store.roles.list({}, page),
    store.studies.list({}, page),
    store.tasks.list({}, page),
    store.runs.list({}, page),
    store.ports.list({}, page),
  ]);
  return JSON.stringify(all, (key, value: unknown) => (key === 'lastSeenAt' ? null : value));
}

describe('object-level authorization', () => {
  it('is asked of every route that there is', async () => {
    const { paths } = (await world.app.inject({ url: '/apidocs' })).json<{
      paths: Record<string, Record<string, unknown>>;
    }>();
    const documented = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const lists = LISTS.map((path) => `GET ${path}`);
    const asked = new Set([...ROWS.map(({ route }) => route), ...lists, ...OTHERS]);
    expect(documented.filter((route) => !asked.has(route))).toStrictEqual([]);
  });

  it.each(ROWS.map((row) => [row.route, row.of, row] as const))(
    '%s of a foreign %s is 403 for everybody, and changes nothing',
    async (_route, _of, row) => {
      const before = await contents();
      for (const caller of CALLERS) {
        const { status, body } = await ask(row, foreign, tokens[caller]);
        // A Collaboration Admin sees all organizations there are, to choose partners from.
        const isOpen = row.route === 'GET /organization/{id}' && caller === 'collaboration admin';
        expect([caller, status]).toStrictEqual([caller, isOpen ? 200 : 403]);
        if (!isOpen)
          expect(body).toStrictEqual({ msg: expect.any(String), code: 'V6_AUTH_FORBIDDEN' });
      }
      expect(await contents()).toBe(before);
    },
  );

  it.each(ROWS.map((row) => [row.route, row.of, row] as const))(
    '%s of a %s that there is not is 404',
    async (_route, _of, row) => {
      const who = { user: world.root.token, node: tokens.node, container: tokens.container };
      for (const kind of EVERYONE) {
        const { status, body } = await ask(row, UNKNOWN, who[kind]);
        const isFor = (row.kinds ?? ['user']).includes(kind);
        expect([kind, status]).toStrictEqual([kind, isFor ? (row.unknown ?? 404) : 403]);
        expect(Object.keys(body)).toStrictEqual(['msg', 'code']);
      }
    },
  );

  it.each(LISTS)('GET %s holds nothing foreign, with filters neither', async (path) => {
    const kind = path.slice(1) === 'result' ? 'run' : (path.slice(1) as keyof Objects);
    const filters = [
      '',
      `collaboration_id=${foreign.collaboration}`,
      `organization_id=${foreign.organization}`,
      `study_id=${foreign.study}`,
      `task_id=${foreign.task}`,
      `run_id=${foreign.run}`,
      `node_id=${foreign.node}`,
      `user_id=${foreign.user}`,
      `role_id=${foreign.role}`,
      `init_org_id=${foreign.organization}`,
      `init_user_id=${foreign.user}`,
      `ids=${foreign.organization}`,
    ];
    for (const caller of CALLERS) {
      for (const filter of filters) {
        const answer = await world.call('GET', `${path}?per_page=1000&${filter}`, {
          token: tokens[caller],
        });
        // 400: not a filter of this list.
        expect([200, 400, 403]).toContain(answer.status);
        if (answer.status !== 200 || path === '/rule') continue;
        const ids = (answer.body.data as { id: number }[]).map(({ id }) => id);
        const isOpen = path === '/organization' && caller === 'collaboration admin';
        if (!isOpen)
          expect([caller, filter, ids.includes(foreign[kind])]).toStrictEqual([
            caller,
            filter,
            false,
          ]);
      }
    }
  });

  it.each(['POST /organization', 'POST /collaboration'])(
    '%s is for administrators of the server',
    async (route) => {
      const body =
        route === 'POST /organization'
          ? { name: 'New' }
          : { name: 'New', organization_ids: [world.north], encrypted: false };
      for (const caller of CALLERS) {
        const answer = await world.call('POST', route.slice(5), { token: tokens[caller], body });
        expect([caller, answer.status]).toStrictEqual([caller, 403]);
      }
    },
  );

  it('nodes and algorithms stay inside their collaboration, although their organization is in two', async () => {
    const { node } = world.northOther;
    for (const caller of ['node', 'container'] as const) {
      const get = async (path: string) =>
        (await world.call('GET', path, { token: tokens[caller] })).status;
      expect(await get(`/node/${node.id}`)).toBe(403);
      expect(await get(`/collaboration/${world.other}`)).toBe(403);
      expect(await get(`/organization/${world.east}`)).toBe(403);
    }
  });
});

/** Answers for objects of South, which works together with North in the same collaboration. */
const SHARED: readonly (readonly [string, Partial<Record<Caller, number>>])[] = [
  ['GET /organization/{id}', allOf(200, 'nobody')],
  ['PATCH /organization/{id}', { 'collaboration admin': 200 }],
  ['DELETE /organization/{id}', {}],
  ['PATCH /collaboration/{id}', { 'collaboration admin': 200 }],
  ['DELETE /collaboration/{id}', {}],
  ['GET /node/{id}', allOf(200, 'nobody')],
  ['PATCH /node/{id}', {}],
  ['POST /recover/node', {}],
  ['GET /user/{id}', { 'collaboration admin': 200 }],
  ['POST /user', { 'collaboration admin': 201 }],
  ['PATCH /user/{id}', { 'collaboration admin': 200 }],
  ['DELETE /user/{id}', {}],
  ['GET /role/{id}', { 'collaboration admin': 200 }],
  ['GET /role/{id}/rule', { 'collaboration admin': 200 }],
  ['POST /role', {}],
  ['PATCH /role/{id}', {}],
  ['DELETE /role/{id}', {}],
  ['GET /study/{id}', { 'collaboration admin': 200 }],
  ['PATCH /study/{id}', { 'collaboration admin': 200 }],
  ['GET /task/{id}', allOf(200, 'nobody')],
  ['GET /task/{id}/result', allOf(200, 'nobody')],
  ['DELETE /task/{id}', {}],
  ['GET /run/{id}', allOf(200, 'nobody')],
  ['GET /result/{id}', allOf(200, 'nobody')],
  ['PATCH /run/{id}', {}],
  ['POST /token/container', {}],
  ['POST /port', {}],
  ['DELETE /port', {}],
  ['GET /port/{id}', allOf(200, 'nobody', 'container')],
  // What ends something stands last.
  ['POST /kill/node/tasks', { 'collaboration admin': 200 }],
  ['DELETE /study/{id}', { 'collaboration admin': 200 }],
  ['DELETE /node/{id}', { 'collaboration admin': 200 }],
];

/** The status for every caller of the collaboration but these. */
function allOf(status: number, ...but: readonly Caller[]): Partial<Record<Caller, number>> {
  const inside = CALLERS.filter((caller) => caller !== 'stranger' && !but.includes(caller));
  return Object.fromEntries(inside.map((caller) => [caller, status]));
}

describe('objects of a partner', () => {
  it.each(SHARED)('%s follows the roles', async (route, expected) => {
    const row = ROWS.find((one) => one.route === route);
    if (row === undefined) throw new Error(route);
    for (const caller of CALLERS) {
      const { status } = await ask(row, partner, tokens[caller]);
      expect([caller, status]).toStrictEqual([caller, expected[caller] ?? 403]);
    }
  });

  it('a node of one organization cannot be put into another collaboration by who may change only one', async () => {
    const answer = await world.call('POST', `/collaboration/${world.trial}/node`, {
      token: tokens['collaboration admin'],
      body: { id: foreign.node },
    });
    expect(answer.status).toBe(403);
  });
});
