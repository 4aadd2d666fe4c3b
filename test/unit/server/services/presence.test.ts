import { describe, expect, it } from 'vitest';
import { settled } from '../../../fakes/manual-clock.ts';
import { createWorld } from '../../../support/server-app.ts';

async function start() {
  const world = await createWorld();
  const { id } = world.northNode.node;
  const isOnline = async (): Promise<boolean | undefined> =>
    (await world.store.nodes.find(id))?.isOnline;
  const types = (): string[] => world.events.map((event) => event.type);
  return { world, id, isOnline, types };
}

describe('presence of a node', () => {
  it('begins with its first socket and is announced once', async () => {
    const { world, id, isOnline, types } = await start();
    await world.presence.connected(id);
    await world.presence.connected(id);
    expect(await isOnline()).toBe(true);
    expect(types()).toStrictEqual(['node-online']);
    await world.close();
  });

  it('goes on while one of two sockets is left', async () => {
    const { world, id, isOnline, types } = await start();
    await world.presence.connected(id);
    await world.presence.connected(id);
    world.presence.disconnected(id);
    await world.clock.turn(60_000);
    expect(await isOnline()).toBe(true);
    expect(types()).toStrictEqual(['node-online']);
    await world.close();
  });

  it('survives a short gap between two sockets, with its configuration', async () => {
    const { world, id, isOnline, types } = await start();
    await world.presence.connected(id);
    await world.store.nodes.update(id, { config: [{ key: 'vpn', value: 'on' }] });
    world.presence.disconnected(id);
    await world.clock.turn(900);
    await world.presence.connected(id);
    await world.clock.turn(60_000);
    expect(await isOnline()).toBe(true);
    expect((await world.store.nodes.find(id))?.config).toHaveLength(1);
    expect(types()).toStrictEqual(['node-online']);
    await world.close();
  });

  it('ends after the gap: offline, without configuration, its address kept and not served', async () => {
    const { world, id, isOnline, types } = await start();
    await world.presence.connected(id);
    await world.store.nodes.update(id, { ip: '10.76.0.5', config: [{ key: 'a', value: 'b' }] });
    world.presence.disconnected(id);
    await world.clock.turn(1000);
    await settled();
    expect(await isOnline()).toBe(false);
    expect(await world.store.nodes.find(id)).toMatchObject({ config: [], ip: '10.76.0.5' });
    expect(types()).toStrictEqual(['node-online', 'node-offline']);
    await world.close();
  });

  it('does not outlive the process: nobody is connected to one that just started', async () => {
    const { world, id, isOnline } = await start();
    await world.presence.connected(id);
    await world.store.replicas.join({ id: 'next', keyMark: '' }, { isAlone: true });
    expect(await isOnline()).toBe(false);
    await world.close();
  });

  it('writes last_seen at most once in 30 s', async () => {
    const { world, id } = await start();
    const seen = async () => (await world.store.nodes.find(id))?.lastSeenAt?.getTime();
    await world.presence.seen('node', id);
    const first = await seen();
    await world.clock.turn(10_000);
    await world.presence.seen('node', id);
    expect(await seen()).toBe(first);
    await world.clock.turn(20_000);
    await world.presence.seen('node', id);
    expect(await seen()).toBe((first ?? 0) + 30_000);
    await world.close();
  });
});
