import { generateKeyPairSync } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTask, createWorld, runOf, type World } from '../../../support/server-app.ts';

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world.close());

const names = (answer: { readonly body: { readonly data?: unknown } }): string[] =>
  (answer.body.data as { name: string }[]).map((row) => row.name);
const get = (path: string, token: string) => world.call('GET', path, { token });

/** base64 of the PEM text of a new RSA key. */
const newPublicKey = (): string => {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return Buffer.from(publicKey.export({ type: 'spki', format: 'pem' })).toString('base64');
};

describe('organizations', () => {
  it('are made by who may, with unique names', async () => {
    const post = (token: string, body: object) =>
      world.call('POST', '/organization', { token, body });
    const made = await post(world.root.token, { name: 'West', country: 'NL' });
    expect([made.status, made.body.name, made.body.public_key]).toStrictEqual([201, 'West', '']);
    const again = await post(world.root.token, { name: 'West' });
    expect([again.status, again.body.code]).toStrictEqual([400, 'V6_REQUEST_CONFLICT']);
    expect((await post(world.nora.token, { name: 'Mine' })).status).toBe(403);
    expect((await post(world.northNode.token, { name: 'Mine' })).status).toBe(403);
  });

  it('are seen as far as they work together', async () => {
    expect(names(await get('/organization', world.root.token))).toHaveLength(4);
    expect(names(await get('/organization', world.nora.token)).toSorted()).toStrictEqual([
      'East',
      'North',
      'South',
    ]);
    expect(names(await get('/organization', world.enno.token)).toSorted()).toStrictEqual([
      'East',
      'North',
    ]);
    expect(names(await get('/organization', world.northNode.token)).toSorted()).toStrictEqual([
      'North',
      'South',
    ]);
    expect((await get(`/organization/${world.south}`, world.enno.token)).status).toBe(403);
    expect(
      names(await get(`/organization?collaboration_id=${world.other}`, world.northNode.token)),
    ).toStrictEqual(['North']);
  });

  it('get their public key from a node once; replacing it is a matter of users', async () => {
    const [key, other] = [newPublicKey(), newPublicKey()];
    const patch = (token: string, body: object, id = world.north) =>
      world.call('PATCH', `/organization/${id}`, { token, body });
    const { token } = world.northNode;
    expect((await patch(token, { public_key: 'no base64' })).status).toBe(400);
    expect((await patch(token, { public_key: key })).body.public_key).toBe(key);
    expect((await patch(token, { public_key: key })).status).toBe(200);
    expect((await patch(token, { public_key: other })).status).toBe(403);
    expect((await patch(token, { name: 'New' })).status).toBe(403);
    expect((await patch(token, { public_key: key }, world.south)).status).toBe(403);
    expect((await patch(world.root.token, { public_key: other })).status).toBe(200);
  });

  it('are deleted with what depends on them only when that is asked for', async () => {
    const path = `/organization/${world.east}`;
    const del = (query: string) =>
      world.call('DELETE', `${path}${query}`, { token: world.root.token });
    expect((await del('')).status).toBe(400);
    expect((await del('?delete_dependents=False')).status).toBe(400);
    expect((await del('?delete_dependents=true')).status).toBe(200);
    expect((await get('/node', world.eastNode.token)).status).toBe(401);
  });
});

describe('collaborations', () => {
  it('are answered with 200 when made, as upstream does; unknown organizations are refused', async () => {
    const post = (organization_ids: number[]) =>
      world.call('POST', '/collaboration', {
        token: world.root.token,
        body: { name: 'New', organization_ids, encrypted: false },
      });
    expect((await post([world.south, 99])).status).toBe(404);
    const made = await post([world.south, world.east]);
    expect([made.status, made.body.encrypted]).toStrictEqual([200, false]);
    expect((await post([world.south])).status).toBe(400);
  });

  it('are seen by their members', async () => {
    expect(names(await get('/collaboration', world.enno.token))).toStrictEqual(['Other']);
    expect(names(await get('/collaboration', world.northNode.token))).toStrictEqual(['Trial']);
    const path = `/collaboration/${world.trial}?include=organizations`;
    const { body } = await get(path, world.nora.token);
    expect((body.organizations as object[]).length).toBe(2);
  });

  it('gain and lose organizations; the node of one that leaves goes too', async () => {
    const path = `/collaboration/${world.trial}/organization`;
    const { token } = world.root;
    const more = await world.call('POST', path, { token, body: { id: world.east } });
    expect(more.body).toHaveLength(3);
    const less = await world.call('DELETE', path, { token, body: { id: world.south } });
    expect(less.body).toHaveLength(2);
    expect((await get('/node', world.southNode.token)).status).toBe(401);
    expect(world.events).toContainEqual({
      type: 'account-ended',
      accountId: world.southNode.node.id,
    });
  });

  it('with nodes and tasks are deleted only when that is asked for', async () => {
    await createTask(world);
    const del = (query: string) =>
      world.call('DELETE', `/collaboration/${world.trial}${query}`, { token: world.root.token });
    expect((await del('')).status).toBe(400);
    expect((await del('?delete_dependents=false')).status).toBe(400);
    expect((await del('?delete_dependents=1')).status).toBe(200);
    expect((await get('/task', world.root.token)).body.data).toStrictEqual([]);
  });
});

describe('nodes', () => {
  it('are made with a key that is shown once; one per organization and collaboration', async () => {
    const post = (body: object, token = world.root.token) =>
      world.call('POST', '/node', { token, body });
    const collaboration = await world.store.collaborations.create({
      name: 'Third',
      encrypted: false,
    });
    await world.store.collaborations.setMembers(collaboration, [world.south]);
    const body = { collaboration_id: collaboration, organization_id: world.south };
    const made = await post(body);
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({
      name: 'South - Third Node',
      status: 'offline',
      ip: null,
      config: [],
    });
    expect(made.body.api_key).toMatch(/^[0-9a-f-]{36}$/);
    expect((await post({ ...body, name: 'second' })).status).toBe(400);
    expect(
      (await post({ collaboration_id: collaboration, organization_id: world.east })).status,
    ).toBe(400);
    expect((await post({ ...body, collaboration_id: 99 })).status).toBe(404);
    expect((await post(body, world.nora.token)).status).toBe(403);
  });

  it('see their own collaboration', async () => {
    expect(names(await get('/node', world.northNode.token))).toStrictEqual([
      'North - Trial Node',
      'South - Trial Node',
    ]);
    expect((await get(`/node/${world.northOther.node.id}`, world.northNode.token)).status).toBe(
      403,
    );
    expect(
      names(await get(`/node?collaboration_id=${world.trial}`, world.enno.token)),
    ).toStrictEqual([]);
  });

  it('set their own address, and no one else does', async () => {
    const patch = (node: number, body: object, token: string) =>
      world.call('PATCH', `/node/${node}`, { token, body });
    const { node, token } = world.northNode;
    expect((await patch(node.id, { ip: '10.76.0.5' }, token)).body.ip).toBe('10.76.0.5');
    expect((await patch(node.id, { name: 'x' }, token)).status).toBe(403);
    for (const ip of ['fd00::1', '10.76.0', '127.0.0.1', '0.0.0.0', '224.0.0.1', '255.255.255.255'])
      expect((await patch(node.id, { ip }, token)).status).toBe(400);
    for (const other of [world.northOther, world.southNode])
      expect((await patch(node.id, { ip: '10.76.0.9' }, other.token)).status).toBe(403);
    expect((await patch(node.id, { ip: '10.76.0.9' }, world.root.token)).status).toBe(403);
    expect((await patch(node.id, { clear_ip: true }, token)).body.ip).toBeNull();
  });

  it('do not take the address of one that is online, and do of one that is not', async () => {
    const { north, south } = { north: world.northNode, south: world.southNode };
    const set = (one: typeof north) =>
      world.call('PATCH', `/node/${one.node.id}`, { token: one.token, body: { ip: '10.76.0.5' } });
    await world.presence.connected(north.node.id);
    await set(north);
    expect((await set(south)).status).toBe(400);
    await world.store.nodes.update(north.node.id, { isOnline: false });
    expect((await set(south)).status).toBe(200);
    expect((await world.store.nodes.find(north.node.id))?.ip).toBeNull();
  });
});

describe('users', () => {
  const body = {
    username: 'west.user',
    email: 'w@example.org',
    password: 'Good-pass-1',
    firstname: 'W',
    lastname: 'U',
  };
  const post = (more: object, token = world.root.token) =>
    world.call('POST', '/user', { token, body: { ...body, ...more } });

  it('are made with roles by who may; null organization means the own one', async () => {
    const made = await post({ organization_id: world.north, roles: [5], rules: [] });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ username: 'west.user', organization: { id: world.north } });
    expect(JSON.stringify(made.body)).not.toMatch(/password|otp|hash/);
    expect((await post({ username: 'other', email: 'w@example.org' })).status).toBe(400);
    expect((await post({ username: '1x', email: 'x@example.org' })).status).toBe(400);
    expect(
      (await post({ username: 'weak', email: 'y@example.org', password: 'weak' })).status,
    ).toBe(400);
    expect((await post({ username: 'nobody', email: 'z@example.org', roles: [99] })).status).toBe(
      404,
    );
    expect(
      (await post({ username: 'none', email: 'n@example.org', organization_id: null })).status,
    ).toBe(201);
    expect((await post({}, world.nora.token)).status).toBe(403);
    expect((await post({}, world.northNode.token)).status).toBe(403);
  });

  it('do not give others more than they have, and not themselves', async () => {
    const roles = await get('/role', world.nora.token);
    expect(names(roles)[0]).toBe('Root');
    const patch = (id: number, changes: object, token: string) =>
      world.call('PATCH', `/user/${id}`, { token, body: changes });
    expect((await patch(world.nora.id, { roles: [1] }, world.nora.token)).status).toBe(403);
    expect(
      (await patch(world.nora.id, { firstname: 'Nora' }, world.nora.token)).body.firstname,
    ).toBe('Nora');
    expect((await patch(world.vera.id, { firstname: 'X' }, world.nora.token)).status).toBe(403);
    expect((await patch(world.vera.id, { roles: [4, 5] }, world.root.token)).status).toBe(200);
  });

  it('see the users of their organization', async () => {
    const list = await get('/user', world.nora.token);
    expect(list.body.data).toHaveLength(2);
    expect((await get(`/user/${world.enno.id}`, world.nora.token)).status).toBe(403);
    const self = await get(`/user/${world.nora.id}?include_permissions=1`, world.nora.token);
    expect(self.body.permissions).toMatchObject({ roles: [5] });
  });
});

describe('what still runs for an organization or a collaboration that is deleted', () => {
  const killsOf = () => world.events.filter((event) => event.type === 'kill');

  it('is ended on the nodes of others', async () => {
    const task = await createTask(world, [world.south]);
    const run = await runOf(world, task, world.south);
    const { status } = await world.call(
      'DELETE',
      `/organization/${world.north}?delete_dependents=true`,
      {
        token: world.root.token,
      },
    );
    expect(status).toBe(200);
    expect(killsOf()).toMatchObject([
      { kill: { collaboration_id: world.trial, kill_list: [{ run_id: run, task_id: task }] } },
    ]);
    expect((await world.call('GET', `/run/${run}`, { token: world.root.token })).status).toBe(404);
  });

  it('is ended before its nodes lose their connection', async () => {
    const task = await createTask(world);
    const { status } = await world.call(
      'DELETE',
      `/collaboration/${world.trial}?delete_dependents=true`,
      {
        token: world.root.token,
      },
    );
    expect(status).toBe(200);
    const kinds = world.events.map(({ type }) => type);
    expect(killsOf()).toHaveLength(1);
    expect(kinds.indexOf('kill')).toBeLessThan(kinds.indexOf('account-ended'));
    expect((await world.call('GET', `/task/${task}`, { token: world.root.token })).status).toBe(
      404,
    );
  });

  it('goes on when the deletion is refused', async () => {
    const task = await createTask(world, [world.south]);
    const path = `/organization/${world.north}`;
    const refused = await world.call('DELETE', path, { token: world.root.token });
    expect(refused.status).toBe(400);
    expect(killsOf()).toStrictEqual([]);
    const run = await runOf(world, task, world.south);
    expect(await world.store.runs.find(run)).toMatchObject({ status: 'pending' });
  });
});

describe('an open run of a node that goes for good', () => {
  const leave = (): Promise<unknown> =>
    world.call('DELETE', `/collaboration/${world.trial}/organization`, {
      token: world.root.token,
      body: { id: world.south },
    });
  const remove = (): Promise<unknown> =>
    world.call('DELETE', `/node/${world.southNode.node.id}`, { token: world.root.token });

  it.each([
    ['is deleted', remove],
    ['leaves with its organization', leave],
  ])('ends when the node %s, so that its task can', async (_how, go) => {
    const task = await createTask(world, [world.south]);
    const run = await runOf(world, task, world.south);
    await go();
    expect(await world.store.runs.find(run)).toMatchObject({
      status: 'killed by user',
      finishedAt: world.clock.now(),
    });
    expect((await world.store.tasks.find(task))?.status).toBe('killed by user');
    const kinds = world.events.map(({ type }) => type);
    expect(kinds.indexOf('kill')).toBeLessThan(kinds.indexOf('account-ended'));
  });
});
