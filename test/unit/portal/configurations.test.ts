import { describe, expect, it } from 'vitest';
import { REPLACED_GRACE_MS } from '../../../src/portal/configurations.ts';
import { makePortalWorld, type PortalWorld } from '../../fakes/portal-world.ts';

async function authorization(world: PortalWorld) {
  const { accessToken } = await world.logIn();
  const outcome = world.authorizations.checkBearer(`Bearer ${accessToken}`);
  if (!outcome.ok) throw new Error('no authorization');
  return outcome.authorization;
}

async function connect(world: PortalWorld, node?: string): Promise<string> {
  return world.configurations.connect({
    authorization: await authorization(world),
    node,
    prefersTcp: false,
  });
}

const commonName = (config: string): string => /CERT ([0-9a-f]{32})\n/.exec(config)?.[1] ?? '';

describe('addresses of nodes', () => {
  it('gives the lowest free address from .10 up, and the same one for a new certificate', async () => {
    const world = makePortalWorld();
    const first = commonName(await connect(world, 'alpha'));
    const second = commonName(await connect(world, 'beta'));
    expect(world.entries()).toEqual({
      [first]: 'ifconfig-push 10.204.0.10 255.255.255.0\n',
      [second]: 'ifconfig-push 10.204.0.11 255.255.255.0\n',
    });
    const third = commonName(await connect(world, 'alpha'));
    expect(world.entries()).toEqual({
      [third]: 'ifconfig-push 10.204.0.10 255.255.255.0\n',
      [second]: 'ifconfig-push 10.204.0.11 255.255.255.0\n',
    });
  });

  it('keeps the address of a revoked node and gives a released one to the next', async () => {
    const world = makePortalWorld();
    for (const node of ['alpha', 'beta']) await connect(world, node);
    await world.configurations.revoke('alpha', { release: false });
    await connect(world, 'gamma');
    expect(world.store.list().map(({ owner, offset }) => [owner, offset])).toEqual([
      ['alpha', 10],
      ['beta', 11],
      ['gamma', 12],
    ]);
    await world.configurations.revoke('alpha', { release: true });
    await connect(world, 'delta');
    expect(world.store.list()[0]).toMatchObject({ owner: 'delta', offset: 10 });
  });

  it('revokes by the name of a node where only one has it, and names the candidates otherwise', async () => {
    const world = makePortalWorld();
    for (const node of ['north-1-0a1b2c3d', 'north-0a1b2c3d', 'north-4e5f6071', 'south-1-11111111'])
      await connect(world, node);
    const revoke = (node: string) => world.configurations.revoke(node, { release: false });
    expect(await revoke('north-1')).toMatchObject({ node: 'north-1-0a1b2c3d', certificates: 1 });
    expect(await revoke('north-4e5f6071')).toMatchObject({ node: 'north-4e5f6071' });
    await expect(revoke('north')).rejects.toMatchObject({
      code: 'V6_REQUEST_NOT_FOUND',
      hints: ['Name one of them: north-0a1b2c3d, north-4e5f6071'],
    });
    await expect(revoke('south')).rejects.toMatchObject({ code: 'V6_REQUEST_NOT_FOUND' });
  });

  it('refuses a node when the pool is full, and changes nothing then', async () => {
    const world = makePortalWorld({ subnet: '10.204.0.0/28' });
    for (const node of ['a', 'b', 'c', 'd', 'e']) await connect(world, node);
    const before = world.entries();
    await expect(connect(world, 'f')).rejects.toMatchObject({ code: 'V6_PORTAL_QUOTA' });
    expect(world.entries()).toEqual(before);
    await expect(connect(world, 'a')).resolves.toContain('CERT');
  });

  it('gives each request the address of its own when two nodes ask at once', async () => {
    const world = makePortalWorld();
    await Promise.all(['a', 'b', 'c', 'd'].map((node) => connect(world, node)));
    expect(world.store.list().map(({ offset }) => offset)).toEqual([10, 11, 12, 13]);
    expect(Object.keys(world.entries())).toHaveLength(4);
  });

  it('leaves one certificate when the same node asks twice at once', async () => {
    const world = makePortalWorld();
    const [first, second] = await Promise.all([connect(world, 'alpha'), connect(world, 'alpha')]);
    expect(Object.keys(world.entries())).toEqual([commonName(second)]);
    expect(commonName(first)).not.toBe(commonName(second));
  });

  it('takes the address of a client without a name back with its certificate', async () => {
    const world = makePortalWorld();
    await connect(world);
    await connect(world);
    expect(world.store.list().map(({ offset }) => offset)).toEqual([10, 11]);
    const [lease] = world.store.list();
    await world.configurations.endAuthorization(lease?.certificate?.authorizationId ?? '');
    expect(world.store.list().map(({ offset }) => offset)).toEqual([11]);
  });

  it('keeps the address of a client without a name as long as its authorization', async () => {
    const world = makePortalWorld();
    const shared = await authorization(world);
    await connect(world);
    const input = { authorization: shared, node: undefined, prefersTcp: false };
    await world.configurations.connect(input);
    await world.configurations.connect(input);
    expect(world.store.list().map(({ offset }) => offset)).toEqual([10, 11]);
    expect(Object.keys(world.entries())).toHaveLength(2);
  });

  it('leaves a node what it has when the new file cannot be written', async () => {
    const world = makePortalWorld();
    const name = commonName(await connect(world, 'alpha'));
    world.files.failsNext = true;
    await expect(connect(world, 'alpha')).rejects.toMatchObject({ code: 'V6_CONFIG_WRITE' });
    expect(Object.keys(world.entries())).toEqual([name]);
    expect(world.store.list()[0]?.certificate?.commonName).toBe(name);
  });
});

describe('the end of a certificate', () => {
  it('takes the licence away and cuts the live session when it is revoked', async () => {
    const world = makePortalWorld();
    const name = commonName(await connect(world, 'alpha'));
    world.server.connect(name, '10.204.0.10');
    expect(await world.configurations.revoke('alpha', { release: false })).toMatchObject({
      address: '10.204.0.10',
      certificates: 1,
      sessionsCut: 1,
    });
    expect(world.entries()).toEqual({});
    expect(world.server.live).toEqual([]);
  });

  it('says so when a node is not known', async () => {
    const world = makePortalWorld();
    await expect(world.configurations.revoke('nobody', { release: false })).rejects.toMatchObject({
      code: 'V6_REQUEST_NOT_FOUND',
    });
  });

  it('cuts later what it cannot cut now', async () => {
    const world = makePortalWorld();
    const name = commonName(await connect(world, 'alpha'));
    world.server.connect(name, '10.204.0.10');
    world.server.isUp = false;
    const result = await world.configurations.revoke('alpha', { release: false });
    expect(result.sessionsCut).toBeNull();
    expect(world.entries()).toEqual({});
    await expect(world.configurations.sweep()).rejects.toMatchObject({
      code: 'V6_VPN_SERVER_UNREACHABLE',
    });
    world.server.isUp = true;
    await world.configurations.sweep();
    expect(world.server.live).toEqual([]);
  });

  it('cuts a live session when its certificate is over', async () => {
    const world = makePortalWorld({ sessionExpirySeconds: 60 });
    const name = commonName(await connect(world, 'alpha'));
    world.server.connect(name, '10.204.0.10');
    await world.configurations.sweep();
    expect(world.server.live).toHaveLength(1);
    await world.clock.turn(60_000);
    await world.configurations.sweep();
    expect(world.server.live).toEqual([]);
    expect(world.entries()).toEqual({});
    expect(world.store.list()).toMatchObject([{ owner: 'alpha', certificate: undefined }]);
  });

  it('lets a replaced session go on until the new one is up', async () => {
    const world = makePortalWorld();
    world.server.connect(commonName(await connect(world, 'alpha')), '10.204.0.10');
    const renewed = commonName(await connect(world, 'alpha'));
    await world.configurations.sweep();
    expect(world.server.live).toHaveLength(1);
    world.server.connect(renewed, '10.204.0.10');
    await world.configurations.sweep();
    expect(world.server.live.map((session) => session.commonName)).toEqual([renewed]);
  });

  it('cuts a replaced session after the grace when the new one never comes', async () => {
    const world = makePortalWorld();
    world.server.connect(commonName(await connect(world, 'alpha')), '10.204.0.10');
    await connect(world, 'alpha');
    await world.clock.turn(REPLACED_GRACE_MS);
    await world.configurations.sweep();
    expect(world.server.live).toEqual([]);
  });

  it('ends what the same authorization held for another node, as eduVPN does', async () => {
    const world = makePortalWorld();
    const shared = await authorization(world);
    const first = await world.configurations.connect({
      authorization: shared,
      node: 'alpha',
      prefersTcp: false,
    });
    world.server.connect(commonName(first), '10.204.0.10');
    const second = await world.configurations.connect({
      authorization: shared,
      node: 'beta',
      prefersTcp: false,
    });
    expect(Object.keys(world.entries())).toEqual([commonName(second)]);
    expect(world.server.live).toEqual([]);
  });
});

describe('files of the VPN server after a restart of the portal', () => {
  it('are those of the store: strangers go, missing ones come back', async () => {
    const world = makePortalWorld();
    const name = commonName(await connect(world, 'alpha'));
    const folder = '/data/vpn-server/ccd';
    world.files.files.delete(`${folder}/${name}`);
    world.files.files.set(`${folder}/stranger`, 'ifconfig-push 10.204.0.200 255.255.255.0\n');
    await world.configurations.restoreEntries();
    expect(world.entries()).toEqual({ [name]: 'ifconfig-push 10.204.0.10 255.255.255.0\n' });
  });
});
