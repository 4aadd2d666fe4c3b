import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTask, createWorld, INPUT, runOf, type World } from '../../../support/server-app.ts';

let world: World;
let task: number;
let run: number;
beforeEach(async () => {
  world = await createWorld();
  task = await createTask(world);
  run = await runOf(world, task, world.north);
  await world.clock.turn(60_000);
});
afterEach(() => world.close());

const patch = (body: object, token = world.northNode.token, id = run) =>
  world.call('PATCH', `/run/${id}`, { token, body });

const ids = async (query: string): Promise<readonly number[]> => {
  const { body } = await world.call('GET', `/run?${query}`, { token: world.nora.token });
  return (body.data as { id: number }[]).map((one) => one.id);
};

describe('a run', () => {
  it('has the shape that nodes of 4.x read', async () => {
    const { id: nodeId } = world.northNode.node;
    const path = `/run?state=open&node_id=${nodeId}&include=task`;
    const answer = await world.call('GET', path, { token: world.northNode.token });
    expect(answer.body.data).toStrictEqual([
      {
        id: run,
        status: 'pending',
        input: INPUT,
        log: null,
        assigned_at: '2030-01-01T00:00:00',
        started_at: null,
        finished_at: null,
        cleanup_at: null,
        blob_storage_used: false,
        organization: expect.objectContaining({ id: world.north }),
        task: expect.objectContaining({ id: task, databases: [], parent: null }),
        results: expect.objectContaining({ id: run, link: `/api/result/${run}` }),
        node: { id: nodeId, name: 'North - Trial Node', ip: null, status: 'offline' },
        ports: [],
      },
    ]);
  });

  it('keeps what a patch leaves out', async () => {
    await patch({ started_at: '2030-01-01T00:01:00.000001+00:00', log: 'one' });
    await patch({ status: 'active' });
    const { body } = await patch({
      result: 'cg==',
      status: 'completed',
      finished_at: '2030-01-01T00:02:00Z',
    });
    expect(body).toMatchObject({
      log: 'one',
      status: 'completed',
      started_at: '2030-01-01T00:01:00',
      finished_at: '2030-01-01T00:02:00',
    });
    const result = await world.call('GET', `/result/${run}`, { token: world.nora.token });
    expect(result.body).toMatchObject({ id: run, result: 'cg==', blob_storage_used: false });
  });

  it('ends with a final status, also without a date', async () => {
    const { body } = await patch({ status: 'failed', log: 'no token' });
    expect(body.finished_at).toBe('2030-01-01T00:01:00');
    const open = await world.call('GET', `/run?state=open&node_id=${world.northNode.node.id}`, {
      token: world.northNode.token,
    });
    expect(open.body.data).toStrictEqual([]);
  });

  it('does not change after its end, but the same end may come twice', async () => {
    const end = {
      status: 'completed',
      result: 'cg==',
      log: 'done',
      finished_at: '2030-01-01T00:02:00Z',
    };
    expect((await patch(end)).status).toBe(200);
    expect((await patch(end)).status).toBe(200);
    expect((await patch({ status: 'failed' })).status).toBe(400);
    expect((await patch({ ...end, result: 'eA==' })).status).toBe(400);
    expect((await patch({ status: 'active' })).status).toBe(400);
  });

  it('takes log and result after a bare final status, as Python nodes send a failed start', async () => {
    await patch({ status: 'non-existing Docker image' });
    const details = { status: 'non-existing Docker image', result: '', log: 'no image' };
    const second = await patch({ ...details, finished_at: '2030-01-01T00:02:00Z' });
    expect(second.body).toMatchObject({ log: 'no image', finished_at: '2030-01-01T00:01:00' });
    expect((await patch({ ...details, log: 'another' })).status).toBe(400);
  });

  it('takes the log of a killed run, and no other status', async () => {
    await world.call('POST', '/kill/task', { token: world.nora.token, body: { id: task } });
    expect((await patch({ status: 'completed', result: 'cg==' })).status).toBe(400);
    const answer = await patch({ status: 'killed by user', log: 'last words' });
    expect([answer.status, answer.body.log]).toStrictEqual([200, 'last words']);
  });

  it.each([
    ['no way back to pending', [{ status: 'active' }, { status: 'pending' }], 400],
    ['an end of something open', [{ status: 'active', finished_at: '2030-01-01T00:02:00Z' }], 400],
    ['no such status', [{ status: 'sleeping' }], 400],
    [
      'a new start after a restart of the node',
      [{ status: 'active' }, { status: 'initializing' }],
      200,
    ],
  ])('has %s', async (_what, patches, expected) => {
    let last = 0;
    for (const one of patches) last = (await patch(one)).status;
    expect(last).toBe(expected);
  });

  it('is changed by its own node only', async () => {
    const others = [world.southNode, world.northOther, world.eastNode];
    for (const { token } of others)
      expect((await patch({ status: 'failed' }, token)).status).toBe(403);
    for (const { token } of [world.nora, world.root])
      expect((await patch({ status: 'failed' }, token)).status).toBe(403);
    expect((await patch({ status: 'failed' }, world.northNode.token, 999)).status).toBe(404);
  });

  it('is announced after the change is stored, and not when nothing changed', async () => {
    world.events.length = 0;
    await patch({ status: 'completed' });
    await patch({ status: 'completed' });
    expect(world.events).toStrictEqual([
      { type: 'run-changed', collaborationId: world.trial, runId: run },
    ]);
  });

  it('of another organization goes on when one fails', async () => {
    await world.presence.connected(world.southNode.node.id);
    await patch({ status: 'crashed' });
    const south = await runOf(world, task, world.south);
    const answer = await world.call('GET', `/run/${south}`, { token: world.nora.token });
    expect(answer.body.status).toBe('pending');
    const status = await world.call('GET', `/task/${task}/status`, { token: world.nora.token });
    expect(status.body.status).toBe('crashed');
  });

  it('that waits for a node that is away ends when another one fails, and is announced', async () => {
    const south = await runOf(world, task, world.south);
    world.events.length = 0;
    await patch({ status: 'crashed' });
    const { body } = await world.call('GET', `/run/${south}`, { token: world.nora.token });
    expect(body).toMatchObject({
      status: 'failed',
      finished_at: '2030-01-01T00:01:00',
      log: expect.stringContaining(`run ${run} of the same task`),
    });
    expect(world.events.map((event) => event.type === 'run-changed' && event.runId)).toStrictEqual([
      run,
      south,
    ]);
  });

  it('can be found by its dates', async () => {
    await patch({ started_at: '2030-01-01T00:05:00Z' });
    expect(await ids('started_from=2030-01-01T00:04:00Z')).toStrictEqual([run]);
    expect(await ids('started_till=2030-01-01T00:04:00Z')).toStrictEqual([]);
    expect(await ids('assigned_till=2030-01-01T00:00:00Z')).toHaveLength(2);
  });
});
