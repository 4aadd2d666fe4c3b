import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { date } from '../../../../src/server/http/fields.ts';
import { pageLinks } from '../../../../src/server/http/paging.ts';
import { renderDate } from '../../../../src/server/http/render.ts';
import { createWorld, type World } from '../../../support/server-app.ts';

let world: World;
beforeAll(async () => {
  world = await createWorld();
});
afterAll(() => world.close());

describe('every answer', () => {
  it('is JSON with msg and code, for an unknown path and a wrong method too', async () => {
    const unknown = await world.app.inject({ url: '/nowhere' });
    expect([unknown.statusCode, unknown.headers['content-type']]).toStrictEqual([
      404,
      'application/json; charset=utf-8',
    ]);
    expect(unknown.json()).toMatchObject({ code: 'V6_REQUEST_NOT_FOUND' });
    const wrong = await world.call('PUT', '/node/7', { token: world.root.token });
    expect(wrong.status).toBe(405);
    expect(wrong.body).toMatchObject({ code: 'V6_REQUEST_METHOD' });
    expect(wrong.body.msg).toContain('PATCH');
  });

  it('names fields that do not fit, and unknown ones', async () => {
    const answer = await world.call('POST', '/collaboration', {
      token: world.root.token,
      body: { name: '17', organization_ids: [1, 'x'], encrypted: 'no', colour: 'red' },
    });
    expect(answer.status).toBe(400);
    expect(answer.body.errors).toMatchObject({
      name: [expect.any(String)],
      organization_ids: { 1: [expect.any(String)] },
      encrypted: [expect.any(String)],
      colour: ['Unknown field.'],
    });
  });

  it('to a body that is not JSON is 400, to an empty one as well', async () => {
    const headers = { 'content-type': 'application/json' };
    const url = '/api/token/user';
    const broken = await world.app.inject({ method: 'POST', url, headers, payload: '{"a":' });
    expect([broken.statusCode, broken.json().code]).toStrictEqual([400, 'V6_REQUEST_INVALID']);
    const empty = await world.app.inject({ method: 'POST', url, headers, payload: '' });
    expect([empty.statusCode, empty.json().code]).toStrictEqual([400, 'V6_REQUEST_INVALID']);
  });

  it('to a bug says nothing of the inside', async () => {
    const broken = await createWorld();
    const { nodes } = broken.store;
    nodes.list = () => Promise.reject(new TypeError('secret inside'));
    const answer = await broken.call('GET', '/node', { token: broken.root.token });
    expect(answer.status).toBe(500);
    expect(answer.body).toStrictEqual({ msg: 'Internal error of the server', code: 'V6_BUG' });
    await broken.close();
  });

  it('to a stranger comes before a large body is read', async () => {
    const payload = { input: 'x'.repeat(2_000_000) };
    const answer = await world.app.inject({ method: 'POST', url: '/api/task', payload });
    expect(answer.statusCode).toBe(401);
    const large = await world.call('POST', '/organization', {
      token: world.root.token,
      body: { name: 'x'.repeat(2_000_000) },
    });
    expect(large.status).toBe(413);
  });

  it('may be read by pages of other origins', async () => {
    const answer = await world.app.inject({ method: 'OPTIONS', url: '/api/task' });
    expect(answer.statusCode).toBe(200);
    expect(answer.headers).toMatchObject({ 'access-control-allow-origin': '*' });
  });
});

describe('version and health', () => {
  it('need no login; the version is the release that clients choose their ways by', async () => {
    expect((await world.call('GET', '/version')).body).toMatchObject({ version: '4.14.0' });
    const health = await world.call('GET', '/health');
    expect([health.status, health.body]).toStrictEqual([200, { database: true }]);
  });

  it('is 503 when the database fails', async () => {
    const broken = await createWorld();
    await broken.store.close();
    const answer = await broken.call('GET', '/health');
    expect([answer.status, answer.body.database]).toStrictEqual([503, false]);
    await broken.app.close();
  });

  it('says that there is no blob store', async () => {
    const answer = await world.call('GET', '/blobstream/status', { token: world.northNode.token });
    expect(answer.body).toStrictEqual({ blob_store_enabled: false });
  });
});

describe('lists', () => {
  it('have links as paths with the own query, and counts in headers', async () => {
    const path = '/organization?per_page=2&page=2&name=%25o%25';
    const answer = await world.call('GET', path, { token: world.root.token });
    expect(answer.status).toBe(200);
    expect(answer.body.data).toHaveLength(1);
    expect(answer.body.links).toStrictEqual({
      first: '/api/organization?per_page=2&page=1&name=%25o%25',
      previous: '/api/organization?per_page=2&page=1&name=%25o%25',
      self: '/api/organization?per_page=2&page=2&name=%25o%25',
      last: '/api/organization?per_page=2&page=2&name=%25o%25',
    });
    expect(answer.headers['total-count']).toBe('3');
    expect(answer.headers.link).toMatch(/^<\/api\/[^>]+>; rel=first,</);
  });

  it('without hits have only first and self; past the end they are empty', async () => {
    expect(Object.keys(pageLinks('/api/run', 1, 0))).toStrictEqual(['first', 'self']);
    const answer = await world.call('GET', '/node?page=99', { token: world.root.token });
    expect([answer.status, answer.body.data]).toStrictEqual([200, []]);
  });

  it('are in the order that is asked for, with - in front for descending', async () => {
    const { root } = world;
    const answer = await world.call('GET', '/organization?sort=-name', { token: root.token });
    const names = (answer.body.data as { name: string }[]).map((row) => row.name);
    expect(names).toStrictEqual(['root', 'South', 'North', 'East']);
  });

  it.each(['page=0', 'page=x', 'per_page=0', 'per_page=1001', 'sort=password', 'colour=red'])(
    'refuse %s with 400',
    async (query) => {
      const answer = await world.call('GET', `/organization?${query}`, { token: world.root.token });
      expect(answer.status).toBe(400);
      expect(answer.body.code).toBe('V6_REQUEST_INVALID');
    },
  );

  it('take a parameter that a proxy sent twice', async () => {
    const path = '/result?task_id=4&task_id=4&page=1&page=1';
    expect((await world.call('GET', path, { token: world.northNode.token })).status).toBe(200);
  });
});

describe('dates', () => {
  it('go out naive in UTC, with six decimals when there is a fraction', () => {
    expect(renderDate(new Date('2026-05-04T09:12:33.104Z'))).toBe('2026-05-04T09:12:33.104000');
    expect(renderDate(new Date('2026-05-04T09:12:33Z'))).toBe('2026-05-04T09:12:33');
    expect(renderDate(null)).toBeNull();
  });

  it.each([
    ['2026-05-04T09:12:33.104512+00:00', '2026-05-04T09:12:33.104Z'],
    ['2026-05-04T09:12:33Z', '2026-05-04T09:12:33.000Z'],
    ['2026-05-04T11:12:33+02:00', '2026-05-04T09:12:33.000Z'],
    ['2026-05-04T09:12:33.104512', '2026-05-04T09:12:33.104Z'],
  ])('come in as %s', (text, expected) => {
    expect(date.parse(text).toISOString()).toBe(expected);
  });

  it.each(['yesterday', '2026-13-40T00:00:00Z', '2026-05-04', ''])('are refused as %s', (text) => {
    expect(date.safeParse(text).success).toBe(false);
  });
});
