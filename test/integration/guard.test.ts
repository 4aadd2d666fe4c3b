import { createSocket, type Socket } from 'node:dgram';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import { names } from '../../src/core/labels.ts';
import type { HostPlan, HostRemote, HostRules } from '../../src/core/net/host-rules.ts';
import type { Cidr, Ipv4 } from '../../src/core/net/ipv4.ts';
import { HostContainer } from '../../src/node/host-rules/host-container.ts';
import { createHostFirewall } from '../../src/node/host-rules/host-firewall.ts';
import type { Drift } from '../../src/node/interfaces/drift.ts';
import type { HostFirewall } from '../../src/node/interfaces/host-firewall.ts';
import { dockerSandbox, type Sandbox } from '../support/docker.ts';
import { stretched } from '../support/drill.ts';
import { until } from '../support/wait.ts';

const OWNER = 'user/guard-test';
const KEEPER = 'guard-test';
const SECOND = 'user/guard-test-2';
const UPLINK = { subnet: '10.201.230.0/24' as Cidr, gateway: '10.201.230.1' as Ipv4 };
const SLOT = { subnet: '10.201.231.0/29' as Cidr, gateway: '10.201.231.1' as Ipv4 };

/** What our containers may say to the host that they run on. */
describe('the guard on the host', () => {
  let sandbox: Sandbox;
  let firewall: HostFirewall;
  /** That of a second node on this host. */
  let neighbourly: HostFirewall;
  const wanted = (localRemotes: readonly HostRemote[] = [], owner = OWNER): HostRules => ({
    owner,
    remotes: localRemotes,
    localRemotes,
  });
  const rules = async (): Promise<string> => (await firewall.inspect()).rules ?? '';
  let service: Server;
  let datagrams: Socket;
  let port: number;
  let heard: string[];
  let neighbour: string;
  let insider: string;

  const shell = async (id: string, line: string): Promise<string> =>
    (await sandbox.engine.containers.exec(id, ['/bin/sh', '-c', line])).output;
  const askHost = (id: string): Promise<string> =>
    shell(id, `socat -u -T 2 TCP:${UPLINK.gateway}:${port},connect-timeout=2.5 - 2>/dev/null`);
  /** As a VPN client with NET_ADMIN could: aim at the host's link address, whatever the routes say. */
  const shoutAtHost = (word: string): Promise<string> =>
    shell(insider, `printf ${word} | socat -t 0.1 - UDP:${UPLINK.gateway}:${port} 2>&1`);

  beforeAll(async () => {
    sandbox = await dockerSandbox('guard');
    const { engine, image, labels, id } = sandbox;
    const keep = (node: string): HostFirewall =>
      createHostFirewall({
        engine,
        container: new HostContainer({ engine, image, scope: 'user', node }),
        clock: systemClock,
      });
    firewall = keep(KEEPER);
    neighbourly = keep(`${KEEPER}-2`);
    await firewall.undo(OWNER);
    const networks = [
      { ...UPLINK, name: `v6a-test-${id}`, bridge: `v6a${id}`, form: 'uplink' },
      { ...SLOT, name: `v6z-test-${id}`, bridge: `v6z${id}`, form: 'slot' },
    ] as const;
    for (const network of networks) await engine.networks.ensure({ ...network, labels });
    const start = async (name: string, network: string): Promise<string> => {
      const made = await engine.containers.create({
        name: `v6-test-${id}-${name}`,
        image,
        labels,
        entrypoint: ['/usr/bin/tini', '--', '/bin/sh'],
        command: ['-c', 'socat TCP-LISTEN:8888,fork,reuseaddr SYSTEM:"echo peer"'],
        networks: [{ name: network }],
        capabilities: ['NET_ADMIN'],
      });
      await engine.containers.start(made);
      return made;
    };
    neighbour = await start('neighbour', networks[0].name);
    insider = await start('insider', networks[1].name);
    const link = (await readFile(`/sys/class/net/${networks[1].bridge}/address`, 'utf8')).trim();
    await shell(insider, `ip neigh replace ${SLOT.gateway} lladdr ${link} dev eth0 nud permanent`);
    service = createServer((socket) => socket.end('host'));
    await new Promise<void>((resolve) => {
      service.listen(0, '0.0.0.0', resolve);
    });
    port = (service.address() as { port: number }).port;
    heard = [];
    datagrams = createSocket('udp4', (message) => heard.push(message.toString()));
    await new Promise<void>((resolve) => {
      datagrams.bind(port, '0.0.0.0', resolve);
    });
  });

  afterAll(async () => {
    service?.close();
    datagrams?.close();
    for (const each of [firewall, neighbourly]) {
      await each?.undo(OWNER);
      await each?.undo(SECOND);
      await each?.close();
    }
    await sandbox?.removeAll();
  });

  it('is needed: without it both kinds of bridges reach the host', async () => {
    // A node that runs on this host has its own guard, which covers these bridges as well.
    const isGuarded = (await rules()) !== '';
    expect(await askHost(neighbour)).toBe(isGuarded ? '' : 'host');
    await shoutAtHost('before');
    if (!isGuarded)
      await until('the host hears the insider', 15_000, () => heard.includes('before'));
  });

  it('drops what our bridges send to the host, and leaves what members say to each other', async () => {
    await firewall.apply(wanted());
    expect(await askHost(neighbour)).toBe('');
    await shoutAtHost('guarded');
    const peer = (await sandbox.engine.containers.find(neighbour))?.networks;
    const other = await sandbox.engine.containers.create({
      name: `v6-test-${sandbox.id}-other`,
      image: sandbox.image,
      labels: sandbox.labels,
      entrypoint: ['/usr/bin/tini', '--', '/bin/sleep'],
      command: ['60'],
      networks: [{ name: `v6a-test-${sandbox.id}` }],
      capabilities: [],
    });
    await sandbox.engine.containers.start(other);
    const address = Object.values(peer ?? {})[0] ?? '';
    expect(await shell(other, `socat -u -T 2 TCP:${address}:8888,connect-timeout=2.5 -`)).toBe(
      'peer\n',
    );
    expect(heard).not.toContain('guarded');
  });

  it('lets through the VPN server that this host serves, and nothing beside it', async () => {
    await firewall.apply(wanted([{ address: UPLINK.gateway, port, protocol: 'tcp' }]));
    expect(await askHost(neighbour)).toBe('host');
    await firewall.apply(wanted());
    expect(await askHost(neighbour)).toBe('');
  });

  it('stands until its last owner goes, and may be applied and removed again and again', async () => {
    await Promise.all([neighbourly.apply(wanted([], SECOND)), firewall.apply(wanted())]);
    expect((await firewall.inspect()).owners).toEqual(expect.arrayContaining([OWNER, SECOND]));
    expect(actions(await firewall.apply(wanted()))).toEqual(['keep guard', 'keep guard-owner']);
    await firewall.undo(OWNER);
    expect((await firewall.undo(OWNER)).changes).toEqual([]);
    expect(await askHost(neighbour)).toBe('');
    await neighbourly.undo(SECOND);
    expect(await rules()).not.toContain('guard-test');
  });

  it('is read and planned without a change', async () => {
    const before = await ruleset();
    expect(actions(await firewall.plan(wanted()))).toContain('add guard-owner');
    expect((await firewall.planUndo(OWNER)).changes).toEqual([]);
    expect(await firewall.inspect()).toMatchObject({ backend: 'iptables-nft', conflicts: [] });
    expect(await ruleset()).toBe(before);
    expect(await readFile('/proc/net/ip_tables_names', 'utf8').catch(() => '')).toBe('');
  });

  it('is repaired as soon as it is flushed, and what other nodes have there comes back as well', async () => {
    await firewall.apply(wanted([{ address: UPLINK.gateway, port, protocol: 'tcp' }]));
    await neighbourly.apply(wanted([], SECOND));
    const keeping = [
      keepUp(firewall, wanted([{ address: UPLINK.gateway, port, protocol: 'tcp' }])),
      keepUp(neighbourly, wanted([], SECOND)),
    ];
    try {
      for (const keeper of [KEEPER, `${KEEPER}-2`])
        await until(
          'the watch looks',
          20_000,
          async () => (await monitorsIn(names.hostRules(keeper, 'user'))) > 0,
        );
      await execa('nft', ['delete', 'table', 'inet', 'v6guard']);
      // Some 300 ms, and at most a second.
      await until('both nodes have their rules again', stretched(1000), async () => {
        const { stdout } = await execa('nft', ['list', 'table', 'inet', 'v6guard'], {
          reject: false,
        });
        return stdout.includes(`"v6 ${OWNER}"`) && stdout.includes(`"v6 ${SECOND}"`);
      });
      expect(await askHost(neighbour)).toBe('host');
      expect(await askHost(insider)).toBe('');
    } finally {
      for (const each of keeping) await each.end();
    }
    expect(keeping.flatMap(({ failures }) => failures)).toEqual([]);
    const repairs = keeping.flatMap((each) => each.repairs);
    expect(repairs[0]).toMatchObject({ found: expect.stringContaining('v6guard') as string });
    expect(repairs.some(({ by = '' }) => by.startsWith('nft (process '))).toBe(true);
    await neighbourly.undo(SECOND);
  });

  it('survives the container that keeps it', async () => {
    await firewall.apply(wanted());
    await sandbox.engine.containers.kill(names.hostRules(KEEPER, 'user'), 'KILL');
    await execa('nft', ['delete', 'table', 'inet', 'v6guard']);
    const [drift] = await firewall.reconcile(wanted());
    expect(drift?.found).toContain('inet v6guard: ');
    expect(await firewall.reconcile(wanted())).toEqual([]);
    // A look may fail while its container is taken away: the next one brings it back.
    const keeping = keepUp(firewall, wanted());
    try {
      const keeper = names.hostRules(KEEPER, 'user');
      await until('the watch looks', 20_000, async () => (await monitorsIn(keeper)) > 0);
      await sandbox.engine.containers.remove(keeper);
      await until(
        'the container is back, and looks',
        30_000,
        async () => (await monitorsIn(keeper)) > 0,
      );
    } finally {
      await keeping.end();
    }
  });

  it('undoes all of its owner and leaves the host as it was', async () => {
    await firewall.undo(OWNER);
    const before = await ruleset();
    await firewall.apply(wanted([{ address: UPLINK.gateway, port, protocol: 'tcp' }]));
    expect(await ruleset()).not.toBe(before);
    await firewall.undo(OWNER);
    expect(await ruleset()).toBe(before);
  });
});

interface Keeping {
  readonly repairs: Drift[];
  readonly failures: unknown[];
  /** Looks no more, and waits for the look that is under way: what it finds it would put there again. */
  end(): Promise<void>;
}

/** Looks whenever the host's rules change, as a node does. */
function keepUp(of: HostFirewall, wanted: HostRules): Keeping {
  const life = new AbortController();
  const repairs: Drift[] = [];
  const failures: unknown[] = [];
  const looks: Promise<unknown>[] = [];
  of.watch(() => {
    const look = of.reconcile(wanted).then(
      (found) => repairs.push(...found),
      (error: unknown) => failures.push(error),
    );
    looks.push(look);
  }, life.signal);
  const end = async (): Promise<void> => {
    life.abort();
    await Promise.all(looks);
  };
  return { repairs, failures, end };
}

/** What the host's packet filter holds that could be ours, without counters. */
async function ruleset(): Promise<string> {
  const { stdout } = await execa('nft', ['-s', 'list', 'ruleset']);
  const tables = stdout.split(/^(?=table )/m).filter((table) => table.includes('v6 '));
  return tables
    .join('')
    .split('\n')
    .filter((line) => !/"v6 (?!user\/guard-test)[^ ]*\//.test(line))
    .join('\n');
}

/** How many `nft monitor` run in a container. */
async function monitorsIn(container: string): Promise<number> {
  const { stdout } = await execa('docker', ['top', container], { reject: false });
  return stdout.match(/ nft monitor$/gm)?.length ?? 0;
}

const actions = ({ changes }: HostPlan): readonly string[] =>
  changes.map(({ action, what }) => `${action} ${what}`);
