import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  containerOf,
  createTask,
  createWorld,
  IMAGE,
  INPUT,
  runOf,
  type World,
} from '../../../support/server-app.ts';

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world.close());

const post = (token: string, body: object) => world.call('POST', '/task', { token, body });
const body = (changes: object = {}) => ({
  image: IMAGE,
  collaboration_id: world.trial,
  organizations: [{ id: world.north, input: INPUT }],
  ...changes,
});

describe('a task', () => {
  it('has the shape that clients of 4.x read', async () => {
    const answer = await post(
      world.nora.token,
      body({ name: 'echo', databases: [{ label: 'default', query: 'SELECT 1' }] }),
    );
    expect(answer.status).toBe(201);
    const { id } = answer.body;
    expect(answer.body).toStrictEqual({
      id,
      job_id: 1,
      name: 'echo',
      description: '',
      image: IMAGE,
      status: 'pending',
      created_at: '2030-01-01T00:00:00',
      finished_at: null,
      databases: [{ label: 'default', parameters: '{"query":"SELECT 1"}' }],
      collaboration: relation('collaboration', world.trial),
      init_org: relation('organization', world.north),
      init_user: relation('user', world.nora.id),
      parent: null,
      study: null,
      algorithm_store: null,
      children: `/api/task?parent_id=${String(id)}`,
      runs: `/api/run?task_id=${String(id)}`,
      results: `/api/result?task_id=${String(id)}`,
    });
  });

  it('is told to the collaboration after it is stored', async () => {
    const id = await createTask(world);
    expect(world.events).toStrictEqual([
      { type: 'new-task', collaborationId: world.trial, task: { id, parent_id: null } },
    ]);
  });

  it('is stored with its runs or not at all', async () => {
    const before = await world.store.tasks.list({}, { offset: 0, limit: 10, sort: [] });
    const twice = [{ id: world.north, input: INPUT }];
    const answer = await post(world.nora.token, body({ organizations: [...twice, ...twice] }));
    expect(answer.status).toBe(400);
    const after = await world.store.tasks.list({}, { offset: 0, limit: 10, sort: [] });
    expect(after.total).toBe(before.total);
    expect(world.events).toStrictEqual([]);
  });

  it.each<[string, (w: World) => [string, object], number]>([
    ['an unknown collaboration', (w) => [w.root.token, { collaboration_id: 99 }], 404],
    ['no collaboration', (w) => [w.nora.token, { collaboration_id: undefined }], 400],
    [
      'an organization of another collaboration',
      (w) => [w.nora.token, { organizations: [{ id: w.east, input: INPUT }] }],
      400,
    ],
    ['no input', (w) => [w.nora.token, { organizations: [{ id: w.north }] }], 400],
    [
      'input that is not base64',
      (w) => [w.nora.token, { organizations: [{ id: w.north, input: 'x y' }] }],
      400,
    ],
    [
      'encrypted input',
      (w) => [w.nora.token, { organizations: [{ id: w.north, input: 'YQ==$YQ==$YQ==' }] }],
      400,
    ],
    ['no organizations', (w) => [w.nora.token, { organizations: [] }], 400],
    ['a user of an outside organization', (w) => [w.root.token, {}], 403],
    ['a viewer', (w) => [w.vera.token, {}], 403],
    ['a user of another collaboration', (w) => [w.enno.token, {}], 403],
    ['a node', (w) => [w.northNode.token, {}], 403],
  ])('is refused with %s', async (_what, make, status) => {
    const [token, changes] = make(world);
    expect((await post(token, body(changes))).status).toBe(status);
  });

  it('needs a node of every organization', async () => {
    await world.call('DELETE', `/node/${world.southNode.node.id}`, { token: world.root.token });
    const organizations = [{ id: world.south, input: INPUT }];
    const answer = await post(world.nora.token, body({ organizations }));
    expect([answer.status, answer.body.msg]).toStrictEqual([400, expect.stringContaining('node')]);
  });

  it('of an encrypted collaboration needs encrypted input', async () => {
    await world.store.collaborations.update(world.trial, { encrypted: true });
    expect((await post(world.nora.token, body())).status).toBe(400);
    const organizations = [{ id: world.north, input: 'YQ==$YQ==$YQ==' }];
    expect((await post(world.nora.token, body({ organizations }))).status).toBe(201);
  });
});

describe('a sub-task', () => {
  const child = { image: IMAGE, organizations: [] as object[] };

  it('belongs to the job, the user and the node of its parent', async () => {
    const parent = await createTask(world, [world.north]);
    const token = await containerOf(world, world.northNode.token, parent);
    const answer = await post(token, {
      ...child,
      collaboration_id: world.trial,
      organizations: [{ id: world.south, input: INPUT }],
    });
    expect(answer.status).toBe(201);
    expect(answer.body).toMatchObject({
      job_id: 1,
      parent: relation('task', parent),
      init_org: relation('organization', world.north),
      init_user: relation('user', world.nora.id),
    });
  });

  it.each([
    ['an image that only ends the same way', (w: World) => ({ image: `x${IMAGE}`, c: w.trial })],
    ['another collaboration', (w: World) => ({ image: IMAGE, c: w.other })],
  ])('is refused with %s', async (_what, make) => {
    const parent = await createTask(world, [world.north]);
    const token = await containerOf(world, world.northNode.token, parent);
    const { image, c } = make(world);
    const organizations = [{ id: world.north, input: INPUT }];
    expect((await post(token, { image, collaboration_id: c, organizations })).status).toBe(403);
  });
});

describe('what is seen of tasks', () => {
  it('is the own collaboration, for nodes and algorithms whose organization is in two', async () => {
    const task = await createTask(world, [world.north]);
    const container = await containerOf(world, world.northNode.token, task);
    const run = await runOf(world, task, world.north);
    for (const path of ['/task', '/run', '/result']) {
      const other = await world.call('GET', path, { token: world.northOther.token });
      expect(other.body.data).toStrictEqual([]);
      const own = await world.call('GET', path, { token: container });
      expect(own.body.data).toHaveLength(1);
    }
    for (const path of [`/task/${task}`, `/run/${run}`, `/result/${run}`, `/task/${task}/status`])
      expect((await world.call('GET', path, { token: world.northOther.token })).status).toBe(403);
    const { token } = world.enno;
    expect((await world.call('GET', `/task/${task}`, { token })).status).toBe(403);
    expect((await world.call('GET', '/task', { token })).body.data).toStrictEqual([]);
    expect(
      (await world.call('GET', `/collaboration/${world.other}`, { token: container })).status,
    ).toBe(403);
  });

  it('holds runs and results on demand, and can be filtered', async () => {
    const first = await createTask(world);
    const second = await createTask(world, [world.north]);
    const { token } = world.nora;
    const one = await world.call('GET', `/task/${first}?include=runs,results`, { token });
    expect(one.body.runs).toHaveLength(2);
    expect(one.body.results).toHaveLength(2);
    const ids = async (query: string) =>
      (
        (await world.call('GET', `/task?${query}`, { token })).body.data as {
          id: number;
        }[]
      ).map((task) => task.id);
    expect(await ids('name=ec%25')).toStrictEqual([second, first]);
    expect(await ids('job_id=1')).toStrictEqual([first]);
    expect(await ids('is_user_created=0')).toStrictEqual([]);
    expect(await ids(`collaboration_id=${world.other}`)).toStrictEqual([]);
    const status = await world.call('GET', `/task/${first}/status`, { token });
    expect(status.body).toStrictEqual({ status: 'pending' });
  });
});

describe('killing a task', () => {
  it('ends its runs and those of all tasks below it, with their ports, and tells the nodes', async () => {
    const parent = await createTask(world, [world.north]);
    const up = await containerOf(world, world.northNode.token, parent);
    const organizations = [{ id: world.south, input: INPUT }];
    const child = Number((await post(up, { image: IMAGE, organizations })).body.id);
    const middle = await containerOf(world, world.southNode.token, child);
    const lowest = Number(
      (await post(middle, { image: IMAGE, organizations: [{ id: world.north, input: INPUT }] }))
        .body.id,
    );
    const run = await runOf(world, lowest, world.north);
    await world.call('POST', '/port', {
      token: world.northNode.token,
      body: { run_id: run, port: 49_152 },
    });
    world.events.length = 0;
    const kill = await world.call('POST', '/kill/task', {
      token: world.nora.token,
      body: { id: parent },
    });
    expect(kill.status).toBe(200);
    const killed = await world.store.runs.list({}, { offset: 0, limit: 10, sort: [] });
    expect(
      killed.rows.map((one) => [one.status, one.ports, one.finishedAt === null]),
    ).toStrictEqual([1, 2, 3].map(() => ['killed by user', [], false]));
    const event = world.events.find((one) => one.type === 'kill');
    expect(event?.kill.kill_list).toHaveLength(3);
    const again = await world.call('POST', '/kill/task', {
      token: world.nora.token,
      body: { id: parent },
    });
    expect(again.status).toBe(400);
  });

  it('is for who started it, and for administrators', async () => {
    const task = await createTask(world);
    const kill = (token: string) => world.call('POST', '/kill/task', { token, body: { id: task } });
    expect((await kill(world.vera.token)).status).toBe(403);
    expect((await kill(world.enno.token)).status).toBe(403);
    expect((await kill(world.northNode.token)).status).toBe(403);
    expect((await kill(world.root.token)).status).toBe(200);
  });

  it('comes before a deletion, which leaves nothing behind', async () => {
    const task = await createTask(world);
    const run = await runOf(world, task, world.north);
    await world.call('POST', '/port', {
      token: world.northNode.token,
      body: { run_id: run, port: 49_152 },
    });
    expect((await world.call('DELETE', `/task/${task}`, { token: world.nora.token })).status).toBe(
      200,
    );
    expect(world.events.some((event) => event.type === 'kill')).toBe(true);
    expect((await world.call('GET', `/run/${run}`, { token: world.root.token })).status).toBe(404);
    const ports = await world.store.ports.list({}, { offset: 0, limit: 10, sort: [] });
    expect(ports.total).toBe(0);
  });
});

function relation(resource: string, id: number) {
  return { id, link: `/api/${resource}/${id}`, methods: expect.any(Array) };
}
