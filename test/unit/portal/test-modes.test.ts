import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { portalContainer, vpnServerContainer } from '../../../src/portal/container-specs.ts';
import { writeServerConfig } from '../../../src/portal/prepare.ts';
import { parseSettings, portalPaths, renderSettings } from '../../../src/portal/settings.ts';
import { joinControls } from '../../../src/portal/several-controls.ts';
import { serverProcesses } from '../../../src/portal/test-modes.ts';
import { FakeVpnServer, makePortalWorld, type PortalWorld } from '../../fakes/portal-world.ts';

async function connect(world: PortalWorld, node: string): Promise<string> {
  const { accessToken } = await world.logIn();
  const outcome = world.authorizations.checkBearer(`Bearer ${accessToken}`);
  if (!outcome.ok) throw new Error('no authorization');
  const { authorization } = outcome;
  const text = await world.configurations.connect({ authorization, node, prefersTcp: false });
  await world.clock.turn(1000);
  return /CERT ([0-9a-f]{32})\n/.exec(text)?.[1] ?? '';
}

describe('a limit of configurations, as eduVPN has it', () => {
  const modes = { testModes: { maxActiveConfigurations: 3 } } as const;

  it('ends the oldest one without a word when a fourth comes, and cuts its session', async () => {
    const world = makePortalWorld(modes);
    const names: string[] = [];
    for (const node of ['a', 'b', 'c']) names.push(await connect(world, node));
    world.server.connect(names[0] ?? '', '10.204.0.10');
    names.push(await connect(world, 'd'));
    expect(Object.keys(world.entries()).toSorted()).toEqual(names.slice(1).toSorted());
    expect(world.server.live).toEqual([]);
  });

  it('knows no nodes: a second config of one counts as another', async () => {
    const world = makePortalWorld(modes);
    for (const node of ['a', 'a', 'a', 'a']) await connect(world, node);
    expect(world.store.list()).toHaveLength(3);
    expect(world.store.list().every(({ anonymous }) => anonymous)).toBe(true);
  });

  it('is told by nobody: discovery says nothing of a limit', async () => {
    const ask = async (world: PortalWorld): Promise<unknown> => {
      const answer = await world.app.inject({ url: '/.well-known/vpn-user-portal' });
      return (answer.json() as { v6?: unknown }).v6;
    };
    expect(await ask(makePortalWorld(modes))).toBeUndefined();
    expect(await ask(makePortalWorld())).toEqual({ max_active_configurations: 0 });
  });
});

describe('two slices', () => {
  const world = () => makePortalWorld({ testModes: { hasTwoSlices: true } });

  it('are halves of the subnet, each with a process, a device and a socket of its own', async () => {
    const { settings, files } = world();
    const paths = portalPaths(settings);
    await writeServerConfig(files, settings, paths);
    const [udp = '', tcp = ''] = ['server-udp.conf', 'server-tcp.conf'].map((name) =>
      files.files.get(path.join(paths.vpnServer, name)),
    );
    expect(udp).toContain('proto udp4\ndev tun0\n');
    expect(udp).toContain('server 10.204.0.0 255.255.255.128\n');
    expect(tcp).toContain('proto tcp4-server\ndev tun1\n');
    expect(tcp).toContain('server 10.204.0.128 255.255.255.128\n');
    for (const text of [udp, tcp]) {
      expect(text).toContain('push "route 10.204.0.0 255.255.255.0"\n');
      expect(text).toContain('ccd-exclusive\n');
    }
    expect(tcp).toContain('management /run/vpn/management-tcp.sock unix\n');
  });

  it('give out addresses by themselves: an entry is a permission and no more', async () => {
    const it = world();
    const name = await connect(it, 'a');
    expect(it.entries()).toEqual({ [name]: '# any address\n' });
  });

  it('are both in the container, and in what is published', () => {
    const { settings } = world();
    const input = {
      scope: 'demo-x',
      image: 'v6-vpn:1',
      settings,
      placement: {
        network: 'n',
        isOwnNetwork: true,
        portalAddress: '10.77.0.2' as never,
        vpnServerAddress: '10.77.0.3' as never,
        publish: { address: '127.0.0.1', vpn: 4194 },
      },
      owner: { uid: 0, gid: 0 },
      fingerprint: '',
    } as const;
    const spec = vpnServerContainer(input);
    expect(spec.env).toMatchObject({
      VPN_PROTOCOL: '{ udp, tcp }',
      VPN_CONFIGS: 'server-udp.conf server-tcp.conf',
    });
    expect(spec.publish?.map(({ protocol }) => protocol)).toEqual(['udp', 'tcp']);
    expect(portalContainer(input).publish).toEqual([]);
  });

  it('are one VPN server to the portal', async () => {
    const [udp, tcp] = [new FakeVpnServer(), new FakeVpnServer()];
    const both = joinControls([udp, tcp]);
    udp.connect('a', '10.204.0.2');
    tcp.connect('b', '10.204.0.130');
    const sessions = await both.sessions();
    expect(sessions.map(({ commonName, clientId }) => [commonName, clientId])).toEqual([
      ['a', '0/0'],
      ['b', '1/0'],
    ]);
    await both.cut({ clientId: '1/0', commonName: 'b' });
    expect([udp.live.length, tcp.live.length]).toEqual([1, 0]);
    tcp.close();
    await expect(both.isReady()).rejects.toMatchObject({ code: 'V6_VPN_SERVER_UNREACHABLE' });
  });
});

describe('another address after each connection', () => {
  it('is written as soon as a node is connected, in turn', async () => {
    const world = makePortalWorld({ testModes: { changesAddresses: true } });
    const name = await connect(world, 'a');
    const address = (): string => /push (\S+)/.exec(world.entries()[name] ?? '')?.[1] ?? '';
    expect(address()).toBe('10.204.0.10');
    world.server.connect(name, '10.204.0.10');
    await world.configurations.sweep();
    expect(address()).toBe('10.204.0.132');
    world.server.live = [];
    world.server.connect(name, '10.204.0.132');
    await world.configurations.sweep();
    expect(address()).toBe('10.204.0.10');
  });
});

describe('test modes in portal.json', () => {
  it('are off where they are not named', () => {
    const { settings } = makePortalWorld();
    expect(serverProcesses(settings)).toMatchObject([
      { configName: 'server.conf', socketName: 'management.sock', hasPool: false },
    ]);
    expect(renderSettings(settings)).not.toContain('testModes');
  });

  it.each([
    [{ maxActiveConfigurations: 0 }],
    [{ maxActiveConfigurations: 1.5 }],
    [{ hasTwoSlices: true, changesAddresses: true }],
  ])('are refused when they make no sense: %o', (testModes) => {
    const { settings } = makePortalWorld({ testModes });
    expect(() => parseSettings(renderSettings(settings), 'portal.json')).toThrow('testModes');
  });
});
