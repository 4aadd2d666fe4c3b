import { existsSync, readdirSync } from 'node:fs';
import type { Server } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Context, contextFor } from '../../src/core/context.ts';
import { labelsFor, names } from '../../src/core/labels.ts';
import type { Cidr } from '../../src/core/net/ipv4.ts';
import type { NetworkPlan, NetworkUndo } from '../../src/core/protocol/node-network.ts';
import { applyNetwork, planNetwork } from '../../src/node/host/network-plan.ts';
import { undoNetwork } from '../../src/node/host/network-undo.ts';
import { slotAt, slotNetwork, uplinkNetwork } from '../../src/node/slots/slot-plan.ts';
import { FirewallLab } from '../support/firewall-lab.ts';
import { jsonSchema } from '../support/json-schema.ts';
import { hasEnded, killChild } from '../support/name-spaces.ts';
import {
  isRealNftablesEngine,
  nftablesEngine,
  sayFirewall,
  tablesOfNftablesEngine,
} from '../support/nftables-engine.ts';
import { until } from '../support/wait.ts';

const CONFIG = { isolatedRange: undefined, uplinkNetwork: undefined, vpnSubnet: undefined };
let lab: FirewallLab;

/** Through the command line, and as a document of its schema. */
async function command<T>(what: string, node: string, ...flags: readonly string[]): Promise<T> {
  const result = await lab.json('node', 'network', what, '--name', node, ...flags);
  (await jsonSchema(`node-network-${what}`)).parse(result);
  return result as T;
}

const node = (name: string): Context =>
  contextFor('node', name, 'user', { home: `${lab.private.folder}/home`, isRoot: false });
const plan = (name = 'alpha'): Promise<NetworkPlan> =>
  lab.inProcess(name, (deps) => planNetwork(deps, node(name), CONFIG));
const apply = (name = 'alpha'): Promise<NetworkPlan> =>
  lab.inProcess(name, (deps) => applyNetwork(deps, node(name), CONFIG));
const undo = (name = 'alpha'): Promise<NetworkUndo> =>
  lab.inProcess(name, (deps) => undoNetwork(deps, node(name), { isForced: false }));

const changed = ({ changes }: Pick<NetworkPlan, 'changes'>): readonly string[] =>
  changes.filter(({ action }) => action !== 'keep').map(({ action, what }) => `${action} ${what}`);

/** What iptables says of the chain that the engine leaves to administrators. */
const userChain = async (): Promise<readonly string[]> =>
  (await lab.host('iptables -S DOCKER-USER')).split('\n');
const jumps = async (): Promise<readonly string[]> =>
  (await userChain()).filter((line) => line.includes('-j V6-'));

describe.each([
  { variant: 'nft', backend: 'iptables-nft' },
  { variant: 'legacy', backend: 'iptables-legacy' },
] as const)(
  'an engine with $backend, on a host that drops what is forwarded',
  ({ variant, backend }) => {
    let hostile: readonly string[];

    beforeAll(async () => {
      lab = await FirewallLab.open({ iptables: variant });
      // The control: without the host's hostility the same packets get through.
      expect(await lab.doesPass()).toBe(true);
      await lab.host('iptables -I DOCKER-USER -j DROP && iptables -P FORWARD DROP');
      await lab.host('echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables');
      expect(await lab.doesPass()).toBe(false);
      hostile = await lab.rules();
    });
    afterAll(async () => {
      await lab[Symbol.asyncDispose]();
    });

    it('is recognised, and nothing on the host has changed after that', async () => {
      const { backend: found, evidence, ...rest } = await command<NetworkPlan>('plan', 'alpha');
      expect(found).toBe(backend);
      expect(evidence.join('\n')).toMatch(
        variant === 'nft' ? /nft has chain DOCKER-USER/ : /iptables-legacy has a filter table/,
      );
      expect(rest).toMatchObject({
        node: { name: 'alpha', scope: 'user', running: false },
        bridgeNfCallIptables: true,
        forwardPolicy: 'drop',
        isUpToDate: false,
        conflicts: [],
      });
      expect(changed(rest)).toEqual([
        'add guard',
        'add guard-owner',
        'add accept-chain',
        'add accept-jump',
        'add accept-rule',
      ]);
      expect(await lab.rules()).toEqual(hostile);
      expect(existsSync(lab.dataDir('alpha'))).toBe(false);
    });

    it('lets bridged VPN traffic through after apply, by one jump however often and for however many nodes', async () => {
      expect((await command<NetworkPlan>('apply', 'alpha')).isUpToDate).toBe(false);
      expect(await lab.doesPass()).toBe(true);
      expect(await jumps()).toHaveLength(1);
      const once = await lab.rules();
      expect((await apply()).isUpToDate).toBe(true);
      expect(await lab.rules()).toEqual(once);
      expect(changed(await apply('beta'))).toEqual(['add guard-owner', 'add accept-rule']);
      expect(await jumps()).toHaveLength(1);
      expect(await plan('beta')).toMatchObject({ isUpToDate: true, backend });
      // The first is ours, and says so; what the administrator has there is as it was.
      expect((await userChain()).slice(1)).toEqual([
        '-A DOCKER-USER -m comment --comment v6 -j V6-FORWARD',
        '-A DOCKER-USER -j DROP',
        '-A DOCKER-USER -j RETURN',
      ]);
    });

    it('keeps the rules of one node when another is undone, and is as it was after the last', async () => {
      expect(changed(await command<NetworkUndo>('undo', 'alpha', '--yes'))).toEqual([
        'remove guard-owner',
        'remove accept-rule',
      ]);
      expect(await lab.doesPass()).toBe(true);
      expect((await undo('beta')).isEmpty).toBe(false);
      expect(await lab.rules()).toEqual(hostile);
      expect(await lab.doesPass()).toBe(false);
      expect(readdirSync(lab.dataDir('beta'))).toEqual([]);
      expect(await undo('beta')).toMatchObject({ isEmpty: true, containers: [] });
    });
  },
);

describe('a crash in the middle, and a site’s own firewall', () => {
  let before: readonly string[];
  const owner = { scope: 'user', node: 'alpha' } as const;

  beforeAll(async () => {
    lab = await FirewallLab.open({ iptables: 'nft' });
    await lab.host('iptables -I DOCKER-USER -j DROP');
    before = await lab.rules();
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });

  const ours = async () => {
    const labels = { 'v6.node': owner.node };
    const { containers, networks } = lab.engine;
    const all = [...(await containers.list(labels)), ...(await networks.list(labels))];
    return all.map(({ name }) => name);
  };

  it('is named where nothing of ours can overrule it, with its rule and a way out that works', async () => {
    await lab.host(
      "nft 'add table inet site; add chain inet site forward { type filter hook forward priority 10; policy drop; }'",
    );
    await apply();
    expect(await lab.doesPass()).toBe(false);
    const { conflicts } = await plan();
    expect(conflicts).toMatchObject([
      {
        where: expect.stringContaining('inet site'),
        flow: 'between an algorithm and the VPN client',
        isCertain: true,
      },
    ]);
    const hints = conflicts.flatMap((conflict) => conflict.hints);
    const command = hints.map((hint) => /nft insert rule .*/.exec(hint)?.[0]).find(Boolean) ?? '';
    await lab.host(`nft '${command.slice('nft '.length)}'`);
    expect(await lab.doesPass()).toBe(true);
    expect((await plan()).conflicts).toEqual([]);
    await lab.host('nft delete table inet site');
    await undo();
    expect(await lab.rules()).toEqual(before);
  });

  it('is undone after kill -9 of the command that applied it, whenever that came', async () => {
    for (const afterMs of [0, 150, 400]) {
      const killed = lab.start('node', 'network', 'apply', '--name', 'alpha');
      const isOver = new Promise((resolve) => killed.once('exit', resolve));
      const hasBegun = async (): Promise<boolean> => hasEnded(killed) || (await ours()).length > 0;
      await until('it works on the host', 20_000, hasBegun);
      await new Promise((resolve) => setTimeout(resolve, afterMs));
      killChild(killed);
      await isOver;
      await undo();
      expect(await lab.rules()).toEqual(before);
      expect(await ours()).toEqual([]);
    }
  });

  it('leaves containers and networks that undo finds by their labels, and only those of the node', async () => {
    const range = '10.224.16.0/22' as Cidr;
    await lab.engine.networks.ensure(slotNetwork(owner, slotAt(owner, range, 5)));
    await lab.engine.networks.ensure(uplinkNetwork(owner, '10.224.20.0/28' as Cidr));
    const other = { scope: 'user', node: 'beta' } as const;
    await lab.engine.networks.ensure(uplinkNetwork(other, '10.224.20.16/28' as Cidr));
    const make = async (name: string, kind: 'node' | 'host-rules'): Promise<void> => {
      const id = await lab.engine.containers.create({
        name,
        image: lab.image,
        labels: labelsFor({ kind, ...owner }),
        entrypoint: ['/usr/bin/tini', '--', '/bin/sleep'],
        command: ['600'],
        networkMode: 'host',
        capabilities: [],
      });
      await lab.engine.containers.start(id);
    };
    await make(names.hostRules(owner.node, owner.scope), 'host-rules');
    await make(names.node(owner.node, owner.scope), 'node');
    await apply();
    const dry = await command<NetworkUndo>('undo', 'alpha', '--dry-run');
    expect(dry).toMatchObject({ isDryRun: true, node: { running: true } });
    expect(dry.containers).toHaveLength(2);
    expect(dry.networks).toEqual(['v6a-user-alpha', 'v6z-user-alpha-5']);
    const refused = await lab.v6('node', 'network', 'undo', '--name', 'alpha', '--yes');
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toContain('V6_NODE_ALREADY_RUNNING');
    expect(await ours()).toHaveLength(4);
    const { containers, networks } = await command<NetworkUndo>(
      'undo',
      'alpha',
      '--yes',
      '--force',
    );
    expect({ containers, networks }).toEqual({
      containers: dry.containers,
      networks: dry.networks,
    });
    expect(await ours()).toEqual([]);
    expect(await lab.engine.networks.find('v6a-user-beta')).toBeDefined();
    await lab.engine.networks.remove('v6a-user-beta');
    expect(await lab.rules()).toEqual(before);
  });
});

describe(`an engine whose firewall is nftables (${isRealNftablesEngine ? 'a real one' : 'its rules on an engine without'})`, () => {
  let said: Server | undefined;
  let before: readonly string[];

  beforeAll(async () => {
    lab = await FirewallLab.open(nftablesEngine());
    if (!isRealNftablesEngine) {
      const tables = tablesOfNftablesEngine(lab.bridge);
      await lab.private.exec(['nft', '-f', '-'], { input: tables });
      const socket = path.join(lab.private.folder, 'says.sock');
      said = await sayFirewall(lab.private.socket, socket, 'nftables');
      lab.commandSocket = socket;
    }
    before = await lab.rules();
  });
  afterAll(async () => {
    said?.close();
    await lab[Symbol.asyncDispose]();
  });

  it('is recognised by its own word, and gets the guard and nothing in tables of others', async () => {
    expect(await lab.doesPass()).toBe(true);
    const { backend, evidence, conflicts, ...rest } = await plan();
    expect({ backend, conflicts }).toEqual({ backend: 'nftables', conflicts: [] });
    expect(evidence.join('\n')).toMatch(/says that its firewall is nftables/);
    expect(changed(rest)).toEqual(['add guard', 'add guard-owner']);
    expect(await lab.rules()).toEqual(before);
    await apply();
    expect(await lab.doesPass()).toBe(true);
    const tables = (await lab.host('nft list tables')).split('\n');
    expect(tables).toContain('table inet v6guard');
    const others = (lines: readonly string[]): string =>
      lines.join('\n').replace(/table inet v6guard \{[^]*?\n\}\n?/, '');
    expect(others(await lab.rules())).toBe(before.join('\n'));
  });

  it('has conflicts named: there is no chain in which an accept of ours would overrule a drop', async () => {
    // What an engine leaves that used iptables before: Docker 29 says so in its guide to the change.
    await lab.host('iptables -P FORWARD DROP');
    expect(await lab.doesPass()).toBe(false);
    const { conflicts } = await plan();
    expect(conflicts.map(({ where, flow }) => [where, flow])).toEqual([
      [expect.stringContaining('ip filter'), 'between an algorithm and the VPN client'],
    ]);
    await lab.host('nft delete table ip filter');
    expect((await plan()).conflicts).toEqual([]);
  });

  it('keeps a guard that a later version of v6 put there, until that does not guard any more', async () => {
    const guard = async (): Promise<string> => lab.host('nft list table inet v6guard');
    const later = 'iifname "v6z*" udp dport 9 counter packets 0 bytes 0 drop comment "v6 later"';
    await lab.host(
      `nft 'delete element inet v6guard revision { 1 }; add element inet v6guard revision { 2 }; add rule inet v6guard to_host ${later}'`,
    );
    expect(await plan()).toMatchObject({ isUpToDate: true });
    expect(changed(await apply('beta'))).toEqual(['add guard-owner']);
    expect(await guard()).toMatch(/"v6 user\/beta"[^]*"v6 later"/);
    expect(await plan('beta')).toMatchObject({ isUpToDate: true });
    expect(changed(await undo('beta'))).toEqual(['remove guard-owner']);
    expect(await guard()).toContain('"v6 later"');
    expect(await guard()).not.toContain('beta');
    // The later one is gone, and somebody flushed what it left.
    await lab.host('nft flush chain inet v6guard through');
    expect(changed(await apply())).toEqual(['add guard']);
    expect(await guard()).toMatch(/elements = \{ 0x0+1 \}/);
    expect(await guard()).not.toContain('"v6 later"');
  });

  it('is as it was after undo', async () => {
    expect((await undo()).backend).toBe('nftables');
    expect(await lab.rules()).toEqual(before);
  });
});
