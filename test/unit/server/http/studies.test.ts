import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  addUser,
  containerOf,
  createWorld,
  IMAGE,
  INPUT,
  type World,
} from '../../../support/server-app.ts';

let world: World;
let cora: { readonly id: number; readonly token: string };
beforeEach(async () => {
  world = await createWorld();
  cora = await addUser(world, {
    username: 'cora',
    organization: world.north,
    role: 'Collaboration Admin',
  });
});
afterEach(() => world.close());

const get = (path: string, token: string) => world.call('GET', path, { token });
const send = (method: string, path: string, token: string, body?: object) =>
  world.call(method, path, { token, ...(body === undefined ? {} : { body }) });
const ids = (answer: { readonly body: { readonly data?: unknown } }) =>
  (answer.body.data as { id: number }[]).map((row) => row.id);

async function makeStudy(organizations: readonly number[], name = 'Pilot'): Promise<number> {
  const body = { name, collaboration_id: world.trial, organization_ids: organizations };
  const answer = await send('POST', '/study', cora.token, body);
  expect(answer.status).toBe(201);
  return answer.body.id as number;
}

const task = (study: number, organizations: readonly number[], more: object = {}) => ({
  image: IMAGE,
  study_id: study,
  organizations: organizations.map((id) => ({ id, input: INPUT })),
  ...more,
});

describe('a study', () => {
  it('is made with its organizations, which are all in the collaboration', async () => {
    const body = { name: 'Pilot', collaboration_id: world.trial, organization_ids: [world.north] };
    const made = await send('POST', '/study', cora.token, body);
    const { id } = made.body;
    expect([made.status, made.body]).toStrictEqual([
      201,
      {
        id,
        name: 'Pilot',
        collaboration: expect.objectContaining({ id: world.trial }),
        organizations: [expect.objectContaining({ id: world.north })],
        tasks: `/api/task?study_id=${String(id)}`,
      },
    ]);
    const post = (changes: object, token = cora.token) =>
      send('POST', '/study', token, { ...body, name: 'Other', ...changes });
    expect((await post({ name: 'Pilot' })).body.code).toBe('V6_REQUEST_CONFLICT');
    expect((await post({ organization_ids: [world.east] })).status).toBe(400);
    expect((await post({ organization_ids: [] })).status).toBe(400);
    expect((await post({}, world.nora.token)).status).toBe(403);
    expect((await post({ collaboration_id: 99 }, world.root.token)).status).toBe(404);
  });

  it('gains, loses and changes its organizations', async () => {
    const id = await makeStudy([world.north]);
    const path = `/study/${id}/organization`;
    const more = await send('POST', path, cora.token, { id: world.south });
    expect([more.status, more.body]).toStrictEqual([200, expect.objectContaining({ length: 2 })]);
    expect((await send('POST', path, cora.token, { id: world.east })).status).toBe(400);
    const less = await send('DELETE', path, cora.token, { id: world.north });
    expect(less.body).toMatchObject([{ id: world.south }]);
    const patch = (body: object) => send('PATCH', `/study/${id}`, cora.token, body);
    expect((await patch({ name: 'New' })).body.name).toBe('New');
    await patch({ organization_ids: [world.north, world.south] });
    const seen = await get(`/study/${id}?include=organizations`, cora.token);
    expect(seen.body.organizations).toHaveLength(2);
    expect((await patch({ organization_ids: [world.east] })).status).toBe(400);
    expect((await send('PATCH', `/study/${id}`, world.nora.token, {})).status).toBe(403);
  });

  it('is seen by its organizations, and by administrators of the collaboration', async () => {
    const id = await makeStudy([world.south]);
    const sven = await addUser(world, {
      username: 'sven',
      organization: world.south,
      role: 'Viewer',
    });
    expect(ids(await get('/study', sven.token))).toStrictEqual([id]);
    expect(ids(await get('/study', world.nora.token))).toStrictEqual([]);
    expect(ids(await get('/study', cora.token))).toStrictEqual([id]);
    expect((await get(`/study/${id}`, world.nora.token)).status).toBe(403);
    expect((await get(`/study/${id}`, world.enno.token)).status).toBe(403);
    expect(ids(await get('/study', world.southNode.token))).toStrictEqual([id]);
    expect((await get(`/study/${id}`, world.northNode.token)).status).toBe(403);
    expect(ids(await get(`/study?collaboration_id=${world.other}`, cora.token))).toStrictEqual([]);
    expect(ids(await get('/study?collaboration_id=99', cora.token))).toStrictEqual([]);
    expect((await get('/study/99', cora.token)).status).toBe(404);
  });

  it('filters organizations, nodes and tasks', async () => {
    const id = await makeStudy([world.south]);
    expect(ids(await get(`/organization?study_id=${id}`, world.nora.token))).toStrictEqual([
      world.south,
    ]);
    expect(ids(await get(`/node?study_id=${id}`, world.root.token))).toStrictEqual([
      world.southNode.node.id,
    ]);
    expect(ids(await get(`/task?study_id=${id}`, world.nora.token))).toStrictEqual([]);
    for (const list of ['organization', 'node', 'task'])
      expect((await get(`/${list}?study_id=99`, world.nora.token)).status).toBe(404);
  });

  it('loses organizations that leave the collaboration', async () => {
    const id = await makeStudy([world.north, world.south]);
    const path = `/collaboration/${world.trial}/organization`;
    await send('DELETE', path, world.root.token, { id: world.south });
    const { body } = await get(`/study/${id}?include=organizations`, cora.token);
    expect(body.organizations).toMatchObject([{ id: world.north }]);
  });
});

describe('a task of a study', () => {
  it('needs no collaboration, and goes to organizations of the study', async () => {
    const id = await makeStudy([world.north]);
    const post = (body: object) => send('POST', '/task', world.nora.token, body);
    const made = await post(task(id, [world.north]));
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ study: { id }, collaboration: { id: world.trial } });
    expect((await post(task(id, [world.south]))).status).toBe(400);
    expect((await post(task(99, [world.north]))).status).toBe(404);
    const elsewhere = task(id, [world.north], { collaboration_id: world.other });
    expect((await post(elsewhere)).status).toBe(400);
    expect(ids(await get(`/task?study_id=${id}`, world.nora.token))).toStrictEqual([made.body.id]);
  });

  it('hands the study on to its sub-tasks, and its algorithm reads it', async () => {
    const id = await makeStudy([world.north]);
    const parent = await send('POST', '/task', world.nora.token, task(id, [world.north]));
    const token = await containerOf(world, world.northNode.token, parent.body.id as number);
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    expect(claims.sub).toMatchObject({ study_id: id, database: null });
    expect((await get(`/study/${id}`, token)).status).toBe(200);
    expect(ids(await get('/study', token))).toStrictEqual([id]);
    expect(ids(await get(`/organization?study_id=${id}`, token))).toStrictEqual([world.north]);
    const sub = (body: object) => send('POST', '/task', token, { image: IMAGE, ...body });
    const organizations = [{ id: world.north, input: INPUT }];
    expect((await sub({ organizations })).body.study).toMatchObject({ id });
    expect((await sub({ organizations, study_id: id })).status).toBe(201);
    const other = await makeStudy([world.north], 'Second');
    expect((await sub({ organizations, study_id: other })).status).toBe(403);
    expect((await sub({ organizations: [{ id: world.south, input: INPUT }] })).status).toBe(400);
  });

  it('keeps it from being deleted, unless the task may go too', async () => {
    const id = await makeStudy([world.north]);
    const made = await send('POST', '/task', world.nora.token, task(id, [world.north]));
    world.events.length = 0;
    const del = (query: string) => send('DELETE', `/study/${id}${query}`, cora.token);
    expect((await del('')).body.code).toBe('V6_REQUEST_CONFLICT');
    expect((await del('?delete_dependents=False')).status).toBe(400);
    expect((await del('?delete_dependents=true')).status).toBe(200);
    expect(world.events.map((event) => event.type)).toStrictEqual(['kill', 'run-changed']);
    expect((await get(`/task/${made.body.id as number}`, world.nora.token)).status).toBe(404);
  });
});
