import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  addUser,
  containerOf,
  createTask,
  createWorld,
  IMAGE,
  INPUT,
  runOf,
  type World,
} from '../support/server-app.ts';

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world.close());

type Body = Readonly<Record<string, unknown>>;
const get = (path: string, token = world.root.token) => world.call('GET', path, { token });
const post = (path: string, body: object, token = world.nora.token) =>
  world.call('POST', path, { token, body });
const patchRun = (run: number, body: object, token = world.northNode.token) =>
  world.call('PATCH', `/run/${run}`, { token, body });
const rows = (answer: { readonly body: Body }) => answer.body.data as Body[];
const bodyOf = (changes: object = {}) => ({
  image: IMAGE,
  collaboration_id: world.trial,
  organizations: [{ id: world.north, input: INPUT }],
  ...changes,
});
const killsOf = () => world.events.filter((event) => event.type === 'kill');

async function northRun(task?: number): Promise<number> {
  return runOf(world, task ?? (await createTask(world)), world.north);
}

describe('upstream weakness: when runs were assigned', () => {
  it('assigned_at is computed once at import: ours is when the task was made', async () => {
    const first = await northRun();
    await world.clock.turn(90_000);
    const second = await northRun();
    const [one, two] = [await get(`/run/${first}`), await get(`/run/${second}`)];
    expect(one.body.assigned_at).toBe('2030-01-01T00:00:00');
    expect(two.body.assigned_at).toBe('2030-01-01T00:01:30');
  });

  it('started_from and finished_from filter on the assignment: ours on their own dates', async () => {
    const run = await northRun();
    await patchRun(run, { started_at: '2030-01-01T01:00:00Z' });
    const found = async (query: string) => rows(await get(`/run?${query}`)).map(({ id }) => id);
    expect(await found('started_from=2030-01-01T00:59:00')).toStrictEqual([run]);
    expect(await found('started_from=2030-01-01T01:01:00')).toStrictEqual([]);
    await patchRun(run, { status: 'completed', finished_at: '2030-01-01T02:00:00Z' });
    expect(await found('finished_from=2030-01-01T01:59:00')).toStrictEqual([run]);
    expect(await found('finished_till=2030-01-01T01:59:00')).toStrictEqual([]);
  });
});

describe('upstream weakness: what a node tells of a run', () => {
  it('PATCH without log and result erases them: ours keeps what is not sent', async () => {
    const run = await northRun();
    await patchRun(run, { log: 'a line', result: 'YQ==' });
    await patchRun(run, { status: 'active' });
    expect((await get(`/run/${run}`)).body.log).toBe('a line');
    expect((await get(`/result/${run}`)).body.result).toBe('YQ==');
  });

  it.each([
    '2030-01-01T00:00:01Z',
    '2030-01-01T00:00:01+00:00',
    '2030-01-01T00:00:01.000000+00:00',
    '2030-01-01T01:00:01.5+01:00',
    '2030-01-01T00:00:01',
  ])('only one format of dates is parsed, others are 500: ours reads %s', async (started_at) => {
    const answer = await patchRun(await northRun(), { started_at });
    expect(answer.status).toBe(200);
    expect(answer.body.started_at).toMatch(/^2030-01-01T00:00:01/);
    expect((await patchRun(await northRun(), { started_at: 'noon' })).status).toBe(400);
  });

  it('a final status without finished_at leaves the run open: ours ends it', async () => {
    const run = await northRun();
    const { body } = await patchRun(run, { status: 'failed' });
    expect(body.finished_at).not.toBeNull();
    const open = await get(`/run?state=open&node_id=${world.northNode.node.id}`);
    expect(rows(open)).toStrictEqual([]);
  });

  it('any status may follow any other: ours never goes back, and an ended run stays as it is', async () => {
    const run = await northRun();
    await patchRun(run, { status: 'active' });
    expect((await patchRun(run, { status: 'pending' })).status).toBe(400);
    await patchRun(run, { status: 'completed', result: 'YQ==' });
    for (const body of [{ status: 'active' }, { status: 'failed' }, { result: 'Yg==' }])
      expect((await patchRun(run, body)).status).toBe(400);
  });

  it('fail-fast marks siblings silently: ours announces each, and lets nodes that are there go on', async () => {
    const waiting = await createTask(world);
    world.events.length = 0;
    await patchRun(await northRun(waiting), { status: 'failed' });
    const south = await runOf(world, waiting, world.south);
    expect(world.events).toContainEqual({
      type: 'run-changed',
      collaborationId: world.trial,
      runId: south,
    });
    expect((await get(`/run/${south}`)).body.log).toContain('the node was away');
    await world.presence.connected(world.southNode.node.id);
    const shared = await createTask(world);
    await patchRun(await northRun(shared), { status: 'failed' });
    const other = await runOf(world, shared, world.south);
    expect((await get(`/run/${other}`)).body.status).toBe('pending');
  });
});

describe('upstream weakness: ending tasks', () => {
  /** A task, its sub-task and the sub-task of that. */
  async function family(): Promise<readonly number[]> {
    const ids = [await createTask(world, [world.north])];
    for (let level = 0; level < 2; level += 1) {
      const token = await containerOf(world, world.northNode.token, ids.at(-1) ?? 0);
      const answer = await post('/task', bodyOf(), token);
      ids.push(answer.body.id as number);
    }
    return ids;
  }

  it('killing covers one level of sub-tasks: ours all of them', async () => {
    const ids = await family();
    expect((await post('/kill/task', { id: ids[0] })).status).toBe(200);
    for (const id of ids)
      expect((await get(`/task/${id}/status`, world.nora.token)).body.status).toBe(
        'killed by user',
      );
  });

  it('POST /kill/node/tasks can never work: ours ends all of a node, for who may send events', async () => {
    const task = await createTask(world);
    const { node } = world.northNode;
    const admin = await addUser(world, {
      username: 'oda',
      organization: world.north,
      role: 'Organization Admin',
    });
    const kill = (token: string, id = node.id) => post('/kill/node/tasks', { id }, token);
    expect((await kill(world.nora.token)).status).toBe(403);
    expect((await kill(admin.token, world.southNode.node.id)).status).toBe(403);
    expect((await kill(admin.token, 999)).status).toBe(404);
    world.events.length = 0;
    expect((await kill(admin.token)).status).toBe(200);
    expect(killsOf()).toStrictEqual([
      { type: 'kill', kill: { collaboration_id: world.trial, node_id: node.id } },
    ]);
    const run = await runOf(world, task, world.north);
    expect((await get(`/run/${run}`)).body).toMatchObject({ status: 'killed by user' });
    const south = await runOf(world, task, world.south);
    expect((await get(`/run/${south}`)).body.status).toBe('pending');
  });

  it('deleting a task leaves orphans, and reading one is 500: ours leaves nothing', async () => {
    const [top = 0, ...below] = await family();
    const run = await northRun(top);
    await world.call('POST', '/port', {
      token: world.northNode.token,
      body: { port: 50_000, run_id: run },
    });
    const runs = await Promise.all([top, ...below].map((id) => northRun(id)));
    const { status } = await world.call('DELETE', `/task/${top}`, { token: world.root.token });
    expect(status).toBe(200);
    for (const id of runs) expect((await get(`/run/${id}`)).status).toBe(404);
    for (const id of [top, ...below]) expect((await get(`/task/${id}`)).status).toBe(404);
    expect(rows(await get('/port'))).toStrictEqual([]);
    expect(rows(await get('/run'))).toStrictEqual([]);
  });

  it('a task is committed before its runs: ours with them or not at all', async () => {
    const fields = {
      name: '',
      description: '',
      image: IMAGE,
      collaborationId: world.trial,
      jobId: undefined,
      parentId: null,
      initOrganizationId: world.north,
      initUserId: null,
      createdAt: world.clock.now(),
      databases: [],
    };
    const runs = [
      { organizationId: world.north, input: INPUT },
      { organizationId: 999, input: INPUT },
    ];
    await expect(world.store.tasks.create({ ...fields, runs })).rejects.toMatchObject({
      code: 'V6_REQUEST_CONFLICT',
    });
    expect(rows(await get('/task'))).toStrictEqual([]);
    expect(rows(await get('/run'))).toStrictEqual([]);
  });
});

describe('upstream weakness: filters of tasks and runs', () => {
  it('GET /task?status= is 500: ours finds by the status of the whole task', async () => {
    const [failed, active, pending, done] = [
      await createTask(world),
      await createTask(world),
      await createTask(world),
      await createTask(world, [world.north]),
    ];
    for (const node of [world.northNode, world.southNode])
      await world.presence.connected(node.node.id);
    await patchRun(await northRun(failed), { status: 'crashed' });
    await patchRun(await northRun(active), { status: 'active' });
    await patchRun(await northRun(done), { status: 'completed' });
    const mixed = await createTask(world);
    await patchRun(await northRun(mixed), { status: 'crashed' });
    await patchRun(
      await runOf(world, mixed, world.south),
      { status: 'not allowed' },
      world.southNode.token,
    );
    const found = async (status: string) =>
      rows(await get(`/task?status=${encodeURIComponent(status)}`)).map(({ id }) => id);
    expect(await found('crashed')).toStrictEqual([failed]);
    expect(await found('failed')).toStrictEqual([mixed]);
    expect(await found('active')).toStrictEqual([active]);
    expect(await found('pending')).toStrictEqual([pending]);
    expect(await found('completed')).toStrictEqual([done]);
    expect(await found('initializing')).toStrictEqual([]);
    for (const { id, status } of rows(await get('/task')))
      expect(await found(String(status))).toContain(id);
    expect((await get('/task?status=sleeping')).status).toBe(400);
  });

  it('GET /task?store_id= and GET /run?port= are 500: ours answer', async () => {
    const run = await northRun();
    await world.call('POST', '/port', {
      token: world.northNode.token,
      body: { port: 50_001, run_id: run },
    });
    expect(rows(await get('/run?port=50001')).map(({ id }) => id)).toStrictEqual([run]);
    expect(rows(await get('/run?port=50002'))).toStrictEqual([]);
    const stores = await get('/task?store_id=1');
    expect([stores.status, rows(stores)]).toStrictEqual([200, []]);
  });
});

describe('upstream weakness: what a new task is checked for', () => {
  it('missing or non-base64 input is 500, and encryption is a guess: ours is 400, by the form of the text', async () => {
    const random = Buffer.from([0xff, 0xfe, 0x80]).toString('base64');
    const status = async (organization: object) =>
      (await post('/task', bodyOf({ organizations: [{ id: world.north, ...organization }] })))
        .status;
    expect(await status({})).toBe(400);
    expect(await status({ input: '?' })).toBe(400);
    expect(await status({ input: random })).toBe(201);
    await world.store.collaborations.update(world.trial, { encrypted: true });
    expect(await status({ input: random })).toBe(400);
    expect(await status({ input: `${random}$${random}$${random}` })).toBe(201);
  });

  it('organizations[].id is not type-checked, a repeated one misleads: ours names the field and the id', async () => {
    const bad = await post('/task', bodyOf({ organizations: [{ id: {}, input: INPUT }] }));
    expect([bad.status, bad.body.errors]).toMatchObject([400, { organizations: { 0: {} } }]);
    const item = { id: world.north, input: INPUT };
    const twice = await post('/task', bodyOf({ organizations: [item, item] }));
    expect([twice.status, twice.body.msg]).toStrictEqual([
      400,
      expect.stringContaining(`${world.north} is named twice`),
    ]);
  });

  it.each([
    ['allowed_users', 'vera', 400],
    ['allowed_users', 'nora', 201],
    ['allowed_orgs', 'South', 400],
    ['allowed_orgs', 'North', 201],
  ])(
    'a name in a node’s policy crashes task creation: ours reads %s %s',
    async (key, value, status) => {
      const { node } = world.northNode;
      await world.store.nodes.update(node.id, { config: [{ key, value }] });
      const answer = await post('/task', bodyOf());
      expect(answer.status).toBe(status);
      if (status === 400) expect(answer.body.msg).toContain(node.name);
    },
  );

  it('ids in a node’s policies are read too, and one that fits is enough', async () => {
    const config = [
      { key: 'allowed_users', value: '999' },
      { key: 'allowed_orgs', value: String(world.north) },
    ];
    await world.store.nodes.update(world.northNode.node.id, { config });
    expect((await post('/task', bodyOf())).status).toBe(201);
  });

  it('nodes that hide their policy count as open to all: ours let the node decide, and its no ends the run at once', async () => {
    const answer = await post('/task', bodyOf());
    expect(answer.status).toBe(201);
    const task = answer.body.id as number;
    const refused = await patchRun(await northRun(task), { status: 'not allowed', log: 'no' });
    expect(refused.body).toMatchObject({ status: 'not allowed', log: 'no' });
    expect(refused.body.finished_at).not.toBeNull();
    expect((await get(`/task/${task}/status`)).body.status).toBe('not allowed');
  });
});
