import { beforeEach, describe, expect, it } from 'vitest';
import { contextFor } from '../../../../src/core/context.ts';
import { V6Error } from '../../../../src/core/errors.ts';
import { labelsFor, names } from '../../../../src/core/labels.ts';
import type { HostPlan } from '../../../../src/core/net/host-rules.ts';
import type { Cidr } from '../../../../src/core/net/ipv4.ts';
import type { DaemonNetwork, DaemonStatus } from '../../../../src/core/protocol/daemon.ts';
import { planNetworkUndo, undoNetwork } from '../../../../src/node/host/network-undo.ts';
import { viewNetwork } from '../../../../src/node/host/network-view.ts';
import { slotAt, slotNetwork, uplinkNetwork } from '../../../../src/node/slots/slot-plan.ts';
import { FakeEngine } from '../../../fakes/engine.ts';
import { FakeHostFiles } from '../../../fakes/host-files.ts';
import { FakeHostFirewall } from '../../../fakes/host-firewall.ts';

const NODE = contextFor('node', 'alpha', 'user', { home: '/home/ann', isRoot: false });
const OWNER = { scope: 'user', node: 'alpha' } as const;
const RANGE = '10.224.8.0/22' as Cidr;
const CLIENT = names.vpnClient('alpha', 'user');
let engine: FakeEngine;
let firewall: FakeHostFirewall;
let running: boolean;

beforeEach(() => {
  engine = new FakeEngine({
    images: ['v6-vpn:def'],
    exec: (_, command) => ({ exitCode: 0, output: `rules by ${command.join(' ')}` }),
  });
  firewall = new FakeHostFirewall();
  running = false;
});

const noDaemon = async (): Promise<never> => {
  throw new V6Error('V6_NODE_NOT_RUNNING', 'nobody answers');
};
const deps = () => ({
  engine,
  firewall,
  files: new FakeHostFiles(),
  daemon: { status: async () => (running ? ({} as DaemonStatus) : noDaemon()) },
});

/** A container of the node, running. */
async function container(
  name: string,
  kind: Parameters<typeof labelsFor>[0]['kind'],
  run?: number,
) {
  const slot = slotAt(OWNER, RANGE, 0);
  const id = await engine.containers.create({
    name,
    image: 'v6-vpn:def',
    labels: labelsFor({ kind, ...OWNER, ...(run === undefined ? {} : { run }) }),
    ...(kind === 'algorithm'
      ? { networks: [{ name: slot.network, address: slot.algorithm }] }
      : {}),
    capabilities: [],
  });
  await engine.containers.start(id);
}

async function networks(): Promise<void> {
  await engine.networks.ensure(slotNetwork(OWNER, slotAt(OWNER, RANGE, 0)));
  await engine.networks.ensure(uplinkNetwork(OWNER, '10.224.12.0/28' as Cidr));
}

async function left(): Promise<readonly string[]> {
  const all = [...(await engine.containers.list({})), ...(await engine.networks.list({}))];
  return all.map(({ name }) => name);
}

describe('the undoing of a node', () => {
  it('removes what has its labels, and its rules after that', async () => {
    await networks();
    await container(CLIENT, 'vpn-client');
    await container('vantage6-alpha-run-41', 'algorithm', 41);
    let wasThere: readonly string[] = ['not asked'];
    const undoRules = firewall.undo.bind(firewall);
    firewall.undo = async (owner: string): Promise<HostPlan> => {
      wasThere = await left();
      return undoRules(owner);
    };
    await firewall.apply({ owner: 'user/alpha', remotes: [], localRemotes: [] });
    await firewall.apply({ owner: 'user/beta', remotes: [], localRemotes: [] });
    const done = await undoNetwork(deps(), NODE, { isForced: false });
    expect(done).toMatchObject({
      isDryRun: false,
      isEmpty: false,
      containers: ['vantage6-alpha-run-41', CLIENT],
      networks: ['v6a-user-alpha', 'v6z-user-alpha-0'],
    });
    // A container that still lived would have been without the guard.
    expect(wasThere).toEqual([]);
    expect([...firewall.owners.keys()]).toEqual(['user/beta']);
    expect(firewall.isClosed).toBe(true);
  });

  it('is only foreseen in a dry run', async () => {
    await networks();
    const plan = await planNetworkUndo(deps(), NODE);
    expect(plan).toMatchObject({
      isDryRun: true,
      networks: ['v6a-user-alpha', 'v6z-user-alpha-0'],
    });
    expect(await left()).toHaveLength(2);
  });

  it('finds nothing where nothing is', async () => {
    expect(await undoNetwork(deps(), NODE, { isForced: false })).toMatchObject({ isEmpty: true });
  });

  it.each(['a daemon that answers', 'a container that does not answer yet'])(
    'is refused while the node runs: %s',
    async (what) => {
      await networks();
      if (what.startsWith('a daemon')) running = true;
      else await container(names.node('alpha', 'user'), 'node');
      const before = await left();
      await expect(undoNetwork(deps(), NODE, { isForced: false })).rejects.toMatchObject({
        code: 'V6_NODE_ALREADY_RUNNING',
        hints: expect.arrayContaining(['Stop it first: v6 node stop --name alpha --user']),
      });
      expect(await left()).toEqual(before);
      const done = await undoNetwork(deps(), NODE, { isForced: true });
      expect(done.node.running).toBe(true);
      expect(await left()).toEqual([]);
    },
  );

  it('lets go of the host when the rules cannot be undone', async () => {
    firewall.undo = async () => {
      throw new V6Error('V6_FIREWALL_APPLY', 'nft said no');
    };
    const undone = undoNetwork(deps(), NODE, { isForced: false });
    await expect(undone).rejects.toMatchObject({ code: 'V6_FIREWALL_APPLY' });
    expect(firewall.isClosed).toBe(true);
  });
});

describe('the view of a node’s network', () => {
  const told: DaemonNetwork = {
    uplink: 'v6a-user-alpha',
    slots: [],
    vpnClient: { container: CLIENT, running: true, rules: 'of the daemon' },
    hostRules: null,
    host: null,
  };

  it('is what the daemon says, without asking the host', async () => {
    const daemon = { network: async () => told };
    const host = async () => Promise.reject(new Error('asked'));
    expect(await viewNetwork({ daemon, host }, NODE)).toEqual({ running: true, ...told });
  });

  it('is read from the host when no daemon answers', async () => {
    await networks();
    await container(CLIENT, 'vpn-client');
    await container('vantage6-alpha-run-41', 'algorithm', 41);
    const view = await viewNetwork(
      { daemon: { network: noDaemon }, host: async () => ({ engine, firewall }) },
      NODE,
    );
    expect(view).toMatchObject({
      running: false,
      uplink: 'v6a-user-alpha',
      slots: [{ network: 'v6z-user-alpha-0', subnet: '10.224.8.0/29', run: 41 }],
      vpnClient: { container: CLIENT, running: true, rules: 'rules by nft list ruleset' },
      host: { backend: 'iptables-nft' },
    });
    expect(firewall.isClosed).toBe(true);
  });

  it('does not hide another failure of the daemon', async () => {
    const network = async (): Promise<never> => {
      throw new V6Error('V6_NODE_NOT_READY', 'not yet');
    };
    const host = async () => ({ engine, firewall });
    await expect(viewNetwork({ daemon: { network }, host }, NODE)).rejects.toMatchObject({
      code: 'V6_NODE_NOT_READY',
    });
  });
});
