import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ruleNamed } from '../../../../src/server/auth/rules.ts';
import { addUser, createTask, createWorld, type World } from '../../../support/server-app.ts';

let world: World;
let oda: { readonly id: number; readonly token: string };
beforeEach(async () => {
  world = await createWorld();
  oda = await addUser(world, {
    username: 'oda',
    organization: world.north,
    role: 'Organization Admin',
  });
});
afterEach(() => world.close());

const get = (path: string, token: string) => world.call('GET', path, { token });
const send = (method: string, path: string, token: string, body?: object) =>
  world.call(method, path, { token, ...(body === undefined ? {} : { body }) });
const rows = (answer: { readonly body: { readonly data?: unknown } }) =>
  answer.body.data as { id: number; name: string; operation?: string }[];
const rule = (name: Parameters<typeof ruleNamed>[0]): number => ruleNamed(name).id;

async function makeRole(name = 'Helper', rules = ['user view organization'] as const) {
  const body = { name, description: 'helps', rules: rules.map(rule) };
  return send('POST', '/role', oda.token, body);
}

describe('rules', () => {
  it('are listed in upstream words, all at once when that is asked for', async () => {
    const all = await get('/rule?no_pagination=1', world.nora.token);
    expect(rows(all)).toHaveLength(86);
    expect(rows(all)[0]).toStrictEqual({
      id: 1,
      name: 'node',
      operation: 'VIEW',
      scope: 'GLOBAL',
      description: 'view nodes on the whole server',
      users: '/api/user?rule_id=1',
    });
    expect(rows(await get('/rule', world.nora.token))).toHaveLength(10);
    const path = '/rule?name=task&operation=VIEW&scope=glo';
    expect(rows(await get(path, world.nora.token)).map((one) => one.id)).toStrictEqual([
      rule('task view global'),
    ]);
    expect(rows(await get('/rule?role_id=5&no_pagination=1', world.nora.token))).toHaveLength(17);
    const own = `/rule?user_id=${world.nora.id}&no_pagination=1`;
    expect(rows(await get(own, world.nora.token))).toHaveLength(17);
    expect((await get('/rule/86', world.nora.token)).body.operation).toBe('SEND');
  });

  it.each([
    ['/rule/87', 404],
    ['/rule?role_id=99', 404],
    ['/rule?user_id=99', 404],
    ['/rule?operation=fly', 400],
    ['/rule?name=moon', 400],
  ])('%s is %i', async (path, status) => {
    expect((await get(path, world.nora.token)).status).toBe(status);
  });
});

describe('roles of organizations', () => {
  it('are made, changed and deleted by who may', async () => {
    const made = await makeRole();
    expect(made.status).toBe(201);
    const id = made.body.id as number;
    expect(made.body).toStrictEqual({
      id,
      name: 'Helper',
      description: 'helps',
      is_default_role: false,
      organization: expect.objectContaining({ id: world.north }),
      rules: `/api/rule?role_id=${id}`,
      users: `/api/user?role_id=${id}`,
    });
    expect((await makeRole()).body.code).toBe('V6_REQUEST_CONFLICT');
    const changed = await send('PATCH', `/role/${id}`, oda.token, { description: 'less' });
    expect(changed.body.description).toBe('less');
    expect((await send('PATCH', `/role/${id}`, world.nora.token, {})).status).toBe(403);
    expect((await send('DELETE', `/role/${id}`, oda.token)).status).toBe(200);
    expect((await get(`/role/${id}`, oda.token)).status).toBe(404);
  });

  it('hold only rules that their maker has', async () => {
    const body = { name: 'Wide', rules: [rule('user view global')] };
    expect((await send('POST', '/role', oda.token, body)).status).toBe(403);
    expect((await send('POST', '/role', oda.token, { ...body, rules: [99] })).status).toBe(404);
    expect((await send('POST', '/role', oda.token, { ...body, name: 'root' })).status).toBe(400);
    const id = (await makeRole()).body.id as number;
    const add = (one: number, token = oda.token) => send('POST', `/role/${id}/rule/${one}`, token);
    expect((await add(rule('node view global'))).status).toBe(403);
    const added = await add(rule('node view organization'));
    expect([added.status, (added.body as unknown as unknown[]).length]).toStrictEqual([201, 2]);
    const wide = await add(rule('node delete global'), world.root.token);
    expect(wide.status).toBe(201);
    // Taking away is a change too.
    const path = `/role/${id}/rule/${rule('node delete global')}`;
    expect((await send('DELETE', path, oda.token)).status).toBe(403);
    expect((await send('PATCH', `/role/${id}`, oda.token, { rules: [] })).status).toBe(403);
    expect((await send('DELETE', `/role/${id}`, oda.token)).status).toBe(403);
    expect((await send('DELETE', path, world.root.token)).body).toHaveLength(2);
    expect(rows(await get(`/role/${id}/rule`, oda.token))).toHaveLength(2);
  });

  it('are seen by their organization, and listed with the fixed ones', async () => {
    const id = (await makeRole()).body.id as number;
    expect((await get(`/role/${id}`, world.vera.token)).status).toBe(200);
    expect((await get(`/role/${id}`, world.enno.token)).status).toBe(403);
    expect(rows(await get('/role', world.vera.token))).toHaveLength(8);
    expect(rows(await get('/role', world.enno.token))).toHaveLength(7);
    const own = `/role?organization_id=${world.north}`;
    expect(rows(await get(own, world.vera.token)).map((role) => role.name)).toStrictEqual([
      'Helper',
    ]);
    expect(rows(await get(`${own}&include_root=1`, world.vera.token))).toHaveLength(8);
    expect(rows(await get('/role?name=help%25', world.vera.token))).toHaveLength(1);
    expect(rows(await get(`/role?collaboration_id=${world.trial}`, oda.token))).toHaveLength(1);
    expect(rows(await get(`/role?rule_id=${rule('node delete global')}`, oda.token))).toHaveLength(
      1,
    );
    expect(rows(await get(`/role?user_id=${world.nora.id}`, oda.token))[0]?.name).toBe(
      'Researcher',
    );
    expect((await get('/role?user_id=99', oda.token)).status).toBe(404);
    expect((await get('/role?rule_id=99', oda.token)).status).toBe(404);
  });

  it('that users have are deleted only when that is asked for', async () => {
    const id = (await makeRole()).body.id as number;
    await send('PATCH', `/user/${world.vera.id}`, oda.token, { roles: [4, id] });
    expect((await send('DELETE', `/role/${id}`, oda.token)).body.code).toBe('V6_REQUEST_CONFLICT');
    const path = `/role/${id}?delete_dependents=true`;
    expect((await send('DELETE', path, oda.token)).status).toBe(200);
    const { body } = await get(`/user/${world.vera.id}?include_permissions=1`, oda.token);
    expect(body.permissions).toMatchObject({ roles: [4] });
  });
});

describe('fixed roles', () => {
  it.each([1, 4, 7])('cannot be changed or deleted: %i', async (id) => {
    const { token } = world.root;
    expect((await send('PATCH', `/role/${id}`, token, { description: 'x' })).status).toBe(403);
    expect((await send('DELETE', `/role/${id}`, token)).status).toBe(403);
    expect((await send('POST', `/role/${id}/rule/1`, token)).status).toBe(403);
    expect((await send('DELETE', `/role/${id}/rule/1`, token)).status).toBe(403);
  });
});

describe('what a user is given', () => {
  it('counts at once, from a role and as a single rule', async () => {
    expect((await send('POST', '/task', world.vera.token, task())).status).toBe(403);
    const rules = [rule('task create collaboration')];
    const patch = (changes: object) =>
      send('PATCH', `/user/${world.vera.id}`, world.root.token, changes);
    expect((await patch({ rules })).status).toBe(200);
    expect((await send('POST', '/task', world.vera.token, task())).status).toBe(201);
    const seen = await get(`/user/${world.vera.id}?include_permissions=1`, world.root.token);
    expect((seen.body.permissions as { rules: number[] }).rules).toContain(rules[0]);
    const found = await get(`/user?rule_id=${rules[0]}`, world.root.token);
    expect(rows(found).map((one) => one.id)).toContain(world.vera.id);
    await patch({ rules: [] });
    expect((await send('POST', '/task', world.vera.token, task())).status).toBe(403);
  });

  it('is not more than the giver has, and not less than somebody above had', async () => {
    const patch = (id: number, changes: object, token = oda.token) =>
      send('PATCH', `/user/${id}`, token, changes);
    expect((await patch(world.vera.id, { roles: [1] })).status).toBe(403);
    expect((await patch(world.vera.id, { roles: [3] })).status).toBe(403);
    expect((await patch(world.vera.id, { rules: [rule('node view global')] })).status).toBe(403);
    expect((await patch(world.vera.id, { rules: [99] })).status).toBe(404);
    expect((await patch(world.vera.id, { roles: [4, 6] })).status).toBe(200);
    expect((await patch(oda.id, { roles: [6, 4] })).status).toBe(403);
    expect((await patch(oda.id, { roles: [6], rules: [] })).status).toBe(200);
    const boss = await addUser(world, {
      username: 'boss',
      organization: world.north,
      role: 'Root',
    });
    expect((await patch(boss.id, { roles: [4] })).status).toBe(403);
    expect((await patch(boss.id, { email: 'oda2@example.org' })).status).toBe(403);
    expect((await send('DELETE', `/user/${boss.id}`, oda.token)).status).toBe(403);
  });

  it('is not a role of another organization', async () => {
    const id = (await makeRole()).body.id as number;
    const changes = { roles: [5, id] };
    const answer = await send('PATCH', `/user/${world.enno.id}`, world.root.token, changes);
    expect([answer.status, answer.body.errors]).toStrictEqual([
      400,
      { roles: [expect.stringContaining('another organization')] },
    ]);
  });
});

describe('users', () => {
  it('are found by every filter of upstream', async () => {
    await createTask(world);
    const found = async (query: string) =>
      rows(await get(`/user?${query}`, world.root.token)).length;
    expect(await found('email=nora%25')).toBe(1);
    expect(await found('firstname=x&lastname=y')).toBe(0);
    expect(await found(`role_id=5`)).toBe(2);
    expect(await found(`collaboration_id=${world.other}`)).toBe(4);
    expect(await found(`organization_id=${world.east}`)).toBe(1);
    expect(await found('last_seen_from=2029-12-31&last_seen_till=2031-01-01')).toBe(2);
    expect(await found('last_seen_till=2029-12-31')).toBe(0);
    for (const query of ['role_id=99', 'rule_id=99'])
      expect((await get(`/user?${query}`, world.root.token)).status).toBe(404);
  });

  it('delete their own account with a rule for it, and not without', async () => {
    const del = (user: { readonly id: number; readonly token: string }) =>
      send('DELETE', `/user/${user.id}`, user.token);
    const plain = await addUser(world, { username: 'pia', organization: world.north, role: '' });
    expect((await del(plain)).status).toBe(403);
    expect((await del(world.vera)).status).toBe(200);
    expect((await get('/user', world.vera.token)).status).toBe(401);
  });

  it('stay in their organization', async () => {
    const patch = (organization_id: number) =>
      send('PATCH', `/user/${world.nora.id}`, world.root.token, { organization_id });
    expect((await patch(world.north)).status).toBe(200);
    expect((await patch(world.east)).status).toBe(400);
  });
});

const task = () => ({
  image: 'x',
  collaboration_id: world.trial,
  organizations: [{ id: world.north, input: 'YQ==' }],
});
