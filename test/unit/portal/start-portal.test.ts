import { beforeEach, describe, expect, it } from 'vitest';
import type { Context } from '../../../src/core/context.ts';
import { V6Error } from '../../../src/core/errors.ts';
import type { Cidr, Ipv4 } from '../../../src/core/net/ipv4.ts';
import type { PortalHost } from '../../../src/portal/interfaces/host.ts';
import type { PortalAdmin, PortalReport } from '../../../src/portal/interfaces/portal-admin.ts';
import type { PortalDeps } from '../../../src/portal/portal-deps.ts';
import { portalStatus } from '../../../src/portal/portal-status.ts';
import { startPortal } from '../../../src/portal/start-portal.ts';
import { stopPortal } from '../../../src/portal/stop-portal.ts';
import { FakeEngine } from '../../fakes/engine.ts';
import { FakePortalFiles } from '../../fakes/portal-world.ts';

const context: Context = {
  type: 'portal',
  name: 'default',
  scope: 'demo-unit',
  configFile: '/c/portal.yaml',
  dataDir: '/data/portal',
  logDir: '/log',
  runDir: '/run/v6/demo-unit/portal',
};
const PORTAL = 'v6-demo-unit-portal';
const SERVER = 'v6-demo-unit-vpn-server';
const NETWORK = 'v6a-demo-unit-portal';

/** A clock whose sleeps are over at once, but take their time. */
class QuickClock {
  #now = Date.parse('2030-01-01T00:00:00Z');
  now(): Date {
    return new Date(this.#now);
  }
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason as Error);
    this.#now += ms;
    return Promise.resolve();
  }
}

let engine: FakeEngine;
let files: FakePortalFiles;
let host: PortalHost & { tun: boolean; taken: Set<number>; known: Cidr[] };
let silent: Set<string>;
let deps: PortalDeps;

beforeEach(() => {
  engine = new FakeEngine({ images: ['v6-vpn:1', 'v6-runtime:1'] });
  files = new FakePortalFiles();
  silent = new Set();
  host = {
    tun: true,
    taken: new Set(),
    known: ['192.0.2.0/24' as Cidr],
    uid: 0,
    gid: 0,
    hasTunDevice: () => Promise.resolve(host.tun),
    routes: () =>
      Promise.resolve(host.known.map((destination) => ({ destination, device: 'eth0' }))),
    isPortFree: ({ port }) => Promise.resolve(!host.taken.has(port)),
  };
  deps = {
    engine,
    files,
    host,
    admin: adminOf(),
    clock: new QuickClock(),
    images: { vpn: 'v6-vpn:1', runtime: 'v6-runtime:1' },
  };
});

async function isUp(name: string): Promise<boolean> {
  return !silent.has(name) && (await engine.containers.find(name))?.state === 'running';
}

/** Answers as the containers would, unless one of them is in `silent`. */
function adminOf(): PortalAdmin {
  return {
    report: async (socket): Promise<PortalReport> => {
      if (!(await isUp(PORTAL))) {
        throw new V6Error('V6_PORTAL_NOT_RUNNING', `The portal does not answer at ${socket}`);
      }
      const vpnServer = (await isUp(SERVER)) ? 'ready' : 'not answering';
      return { url: 'http://x', subnet: '10.76.0.0/16', vpnServer, tunnels: [], leases: [] };
    },
    revoke: () => Promise.reject(new Error('not used here')),
  };
}

function held() {
  return { ...engine.held(), files: [...files.files.keys()], folders: [...files.folders] };
}

const nothing = { containers: [], networks: [], files: [], folders: [] };

describe('starting the portal', () => {
  it('makes network, containers and secrets, and a second time nothing', async () => {
    const first = await startPortal(deps, { context });
    expect(first.state).toBe('started');
    expect(engine.held()).toEqual({ containers: [PORTAL, SERVER], networks: [NETWORK] });
    const before = held();
    expect((await startPortal(deps, { context })).state).toBe('unchanged');
    expect(held()).toEqual(before);
  });

  it('keeps secrets out of arguments, environment and labels', async () => {
    await startPortal(deps, { context, password: 'known-password' });
    const all = JSON.stringify(await engine.containers.list({}));
    expect(all).not.toContain('known-password');
    expect(files.files.get('/data/portal/secrets/account-password')).toBe('known-password\n');
  });

  it('keeps what a later start leaves out', async () => {
    await startPortal(deps, { context, subnet: '10.91.0.0/16', sessionExpirySeconds: 60 });
    const again = await startPortal(deps, { context });
    expect(again).toMatchObject({ state: 'unchanged', subnet: '10.91.0.0/16' });
  });

  it('makes the containers anew when the settings change', async () => {
    await startPortal(deps, { context });
    const before = await engine.containers.find(SERVER);
    await startPortal(deps, { context, sessionExpirySeconds: 60 });
    expect((await engine.containers.find(SERVER))?.id).not.toBe(before?.id);
  });

  it('makes the portal anew when its password changes, and leaves the VPN server alone', async () => {
    await startPortal(deps, { context });
    const [portal, server] = [
      await engine.containers.find(PORTAL),
      await engine.containers.find(SERVER),
    ];
    expect((await startPortal(deps, { context, password: 'other' })).state).toBe('mended');
    expect((await engine.containers.find(PORTAL))?.id).not.toBe(portal?.id);
    expect((await engine.containers.find(SERVER))?.id).toBe(server?.id);
  });

  it.each([PORTAL, SERVER])('mends %s when it is gone or stopped', async (name) => {
    await startPortal(deps, { context });
    await engine.containers.stop(name, 1);
    expect((await startPortal(deps, { context })).state).toBe('mended');
    await engine.containers.remove(name);
    expect((await startPortal(deps, { context })).state).toBe('mended');
    expect((await portalStatus(deps, context)).state).toBe('running');
  });

  it('joins a network that it is given, at the addresses that it is given', async () => {
    await engine.networks.ensure({
      name: 'v6a-demo-unit-up',
      labels: {},
      subnet: '10.203.7.0/24' as Cidr,
      gateway: '10.203.7.1' as Ipv4,
      bridge: 'v6atest',
      form: 'uplink',
    });
    const result = await startPortal(deps, {
      context,
      uplink: { network: 'v6a-demo-unit-up', portalAddress: '10.203.7.5' as Ipv4 },
    });
    expect(result).toMatchObject({
      url: 'http://10.203.7.5:8080',
      portalAddress: '10.203.7.5',
      vpnServerAddress: '10.203.7.254',
      remotes: ['10.203.7.254:1194/udp'],
    });
    await stopPortal(deps, { context, removeData: true });
    expect(engine.held().networks).toEqual(['v6a-demo-unit-up']);
  });
});

describe('a start that cannot be', () => {
  const cases: readonly {
    readonly name: string;
    readonly code: string;
    readonly prepare?: () => unknown;
    readonly options?: Partial<Parameters<typeof startPortal>[1]>;
  }[] = [
    { name: 'no tun device', code: 'V6_NET_TUN_MISSING', prepare: () => (host.tun = false) },
    {
      name: 'no image',
      code: 'V6_IMAGE_NOT_FOUND',
      prepare: () => engine.images.remove('v6-vpn:1'),
    },
    {
      name: 'a subnet over a route of the host',
      code: 'V6_NET_OVERLAP',
      prepare: () => host.known.push('10.76.3.0/24' as Cidr),
    },
    {
      name: 'a port that is taken',
      code: 'V6_NET_PORT_IN_USE',
      prepare: () => host.taken.add(8443),
      options: { publish: { address: '127.0.0.1', http: 8443 } },
    },
    {
      name: 'a network that does not exist',
      code: 'V6_CONFIG_INVALID',
      options: { uplink: { network: 'nowhere' } },
    },
    {
      name: 'a subnet with host bits',
      code: 'V6_CONFIG_SUBNET',
      options: { subnet: '10.76.0.1/16' },
    },
    {
      name: 'an engine that refuses the second container',
      code: 'V6_ENGINE_REQUEST',
      prepare: () => engine.failAt('containers.create', 2, 'V6_ENGINE_REQUEST'),
    },
    {
      name: 'an engine that refuses the network',
      code: 'V6_NET_OVERLAP',
      prepare: () => engine.failAt('networks.ensure', 1, 'V6_NET_OVERLAP'),
    },
    {
      name: 'a portal that does not come up',
      code: 'V6_PORTAL_NOT_RUNNING',
      prepare: () => silent.add(PORTAL),
    },
    {
      name: 'a VPN server that does not come up',
      code: 'V6_VPN_SERVER_UNREACHABLE',
      prepare: () => silent.add(SERVER),
    },
    {
      name: 'remotes over two protocols',
      code: 'V6_CONFIG_INVALID',
      options: {
        remotes: [
          { host: 'a', port: 1, protocol: 'udp' },
          { host: 'a', port: 1, protocol: 'tcp' },
        ],
      },
    },
    { name: 'a URL with a path', code: 'V6_USAGE', options: { url: 'http://a/b' } },
  ];

  it.each(cases)('$name: $code, a next step, and nothing is left', async (entry) => {
    await entry.prepare?.();
    const failed = await startPortal(deps, { context, ...entry.options }).catch(
      (error: unknown) => error,
    );
    expect(failed).toMatchObject({ code: entry.code });
    expect(held()).toEqual(nothing);
  });

  it('leaves a running portal as it was', async () => {
    await startPortal(deps, { context });
    const before = held();
    host.known.push('10.91.0.0/16' as Cidr);
    await expect(startPortal(deps, { context, subnet: '10.91.0.0/16' })).rejects.toMatchObject({
      code: 'V6_NET_OVERLAP',
    });
    expect(held()).toEqual(before);
    expect((await startPortal(deps, { context })).state).toBe('unchanged');
  });

  it('does not take its own published port for somebody else’s', async () => {
    const publish = { address: '127.0.0.1', http: 8443, vpn: 1194 };
    await startPortal(deps, { context, publish });
    host.taken.add(8443).add(1194);
    expect((await startPortal(deps, { context })).state).toBe('unchanged');
  });
});

describe('stopping the portal', () => {
  it('keeps its data unless told otherwise, and is fine when nothing is there', async () => {
    await startPortal(deps, { context });
    await stopPortal(deps, { context, removeData: false });
    expect(engine.held()).toEqual({ containers: [], networks: [] });
    expect(files.files.has('/data/portal/portal.json')).toBe(true);
    await stopPortal(deps, { context, removeData: true });
    expect(held()).toEqual(nothing);
    expect((await stopPortal(deps, { context, removeData: true })).removed).toEqual([]);
  });

  it('tries every step and reports what failed', async () => {
    await startPortal(deps, { context });
    engine.failAt('containers.remove', 1, 'V6_ENGINE_REQUEST');
    await expect(stopPortal(deps, { context, removeData: true })).rejects.toMatchObject({
      code: 'V6_ENGINE_REQUEST',
    });
    expect(engine.held().containers).toEqual([SERVER]);
    expect(files.files.size).toBe(0);
  });
});
