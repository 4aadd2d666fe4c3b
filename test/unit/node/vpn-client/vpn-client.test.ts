import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../../src/core/clock.ts';
import type { LineStream } from '../../../../src/core/engine/engine.ts';
import { silentLogger } from '../../../../src/core/logger.ts';
import type { Cidr, Ipv4 } from '../../../../src/core/net/ipv4.ts';
import type { Slot } from '../../../../src/core/vpn/slot.ts';
import type { RunNetwork } from '../../../../src/core/vpn/task-firewall.ts';
import { TaskFamilies } from '../../../../src/node/family/task-families.ts';
import type { VpnClient } from '../../../../src/node/interfaces/vpn-client.ts';
import { slotAt, slotNetwork } from '../../../../src/node/slots/slot-plan.ts';
import { createVpnClient, type VpnClientDeps } from '../../../../src/node/vpn-client/vpn-client.ts';
import { FakeCoordinator } from '../../../fakes/coordinator.ts';
import { FakeEngine } from '../../../fakes/engine.ts';
import { FakeManagement } from '../../../fakes/management.ts';
import { ManualClock, settled } from '../../../fakes/manual-clock.ts';
import { makePair, portalFile } from '../../../support/client-files.ts';
import { type TempFolder, tempFolder } from '../../../support/temp-folder.ts';
import { until } from '../../../support/wait.ts';

const RANGE = '10.201.0.0/24' as Cidr;
const SUBNET = '10.202.0.0/16' as Cidr;
const owner = { scope: 'user', node: 'alpha' } as const;
const CONTAINER = 'vantage6-alpha-user-vpn-client';
const slot = slotAt(owner, RANGE, 0);
const next = slotAt(owner, RANGE, 1);

const PEER = '10.202.0.9' as Ipv4;

/** A run at a slot with one port, and one peer with the same. */
const network = (tunnelPort: number, { algorithm }: Slot = slot): RunNetwork => ({
  task: 1,
  parent: null,
  algorithm,
  mappings: [{ protocol: 'tcp', tunnelPort, address: algorithm, port: 8888, label: null }],
  peers: [PEER],
  destinations: [{ address: PEER, protocol: 'tcp', port: 49152 }],
});

const clientConfig = async (remote = '192.0.2.1 1194 udp'): Promise<string> =>
  portalFile(await makePair(new Date(Date.now() + 60_000)), [remote]);

describe('the VPN client of a node', () => {
  let folder: TempFolder;
  let engine: FakeEngine;
  let openvpn: FakeManagement;
  let client: VpnClient;
  let deps: VpnClientDeps;
  let commands: string[];
  /** Commands that hold this text fail. */
  let refused: string | undefined;
  /** Called with each command, before it is answered. */
  let onCommand: ((command: string) => void) | undefined;
  /** No command is answered. */
  let isSilent: boolean;

  beforeEach(async () => {
    folder = await tempFolder();
    commands = [];
    refused = undefined;
    onCommand = undefined;
    isSilent = false;
    engine = new FakeEngine({
      images: ['v6-vpn:1'],
      stream: (_, line) => {
        const marker = /(v6-end-\d+) %s/.exec(line)?.[1];
        if (marker === undefined) return [];
        const command = /^\{ (.*); \} <\/dev\/null/.exec(line)?.[1] ?? '';
        commands.push(command);
        onCommand?.(command);
        if (isSilent) return [];
        const isRefused = refused !== undefined && command.includes(refused);
        return [...(isRefused ? ['Error: no'] : []), `${marker} ${isRefused ? 1 : 0}`];
      },
    });
    openvpn = new FakeManagement();
    const uplink = { subnet: '10.201.240.0/24' as Cidr, gateway: '10.201.240.1' as Ipv4 };
    await engine.networks.ensure({
      ...uplink,
      name: 'v6a-user-alpha',
      labels: {},
      bridge: 'v6a0',
      form: 'uplink',
    });
    for (const each of [slot, next]) await engine.networks.ensure(slotNetwork(owner, each));
    deps = {
      engine,
      image: 'v6-vpn:1',
      node: { name: 'alpha', scope: 'user' },
      runDir: folder.path,
      uplink: { network: 'v6a-user-alpha' },
      vpnSubnet: SUBNET,
      isolatedRange: RANGE,
      openManagement: () => openvpn,
      logger: silentLogger,
      clock: systemClock,
    };
    client = createVpnClient(deps);
  });
  afterEach(async () => {
    await client.close();
    await folder.remove();
  });

  const state = (file: string): Promise<string> =>
    readFile(path.join(folder.path, 'state', file), 'utf8');
  /** The whole of the sets, as a stream that was opened anew gets it. */
  const everything = `printf '%s\\n' ${[
    'flush set inet v6client remotes',
    'flush map inet v6client ports',
    'add element inet v6client ports { tcp . 49152 : 10.201.0.3 . 8888 }',
    'flush set inet v6client receiving',
    'add element inet v6client receiving { 10.202.0.9 . 10.201.0.3 . tcp . 8888 }',
    'flush set inet v6client sending',
    'add element inet v6client sending { 10.201.0.3 . 10.202.0.9 . tcp . 49152, 10.201.0.3 . 10.201.0.3 . tcp . 8888 }',
  ]
    .map((line) => `'${line}'`)
    .join(' ')} | nft -f -`;

  /** Until the tunnel is up. */
  const connect = async (): Promise<void> => {
    const connecting = client.connect(await clientConfig(), { subnet: SUBNET, limitMs: 5000 });
    await until('openvpn is called', 5000, () => commands.at(-1) === 'vpn_replace');
    openvpn.open('>STATE:1,CONNECTED,SUCCESS,10.202.0.11,192.0.2.1,1194,,');
    await connecting;
  };

  it('keeps only NET_ADMIN and the tun device, and four mounts of its own', async () => {
    await client.start([slot]);
    expect(engine.specOf(CONTAINER)).toMatchObject({
      capabilities: ['NET_ADMIN'],
      devices: ['/dev/net/tun'],
      readOnlyRoot: true,
      networks: [{ name: 'v6a-user-alpha' }, { name: slot.network, address: slot.client }],
      mounts: [
        { target: '/client', readOnly: true },
        { target: '/mgmt' },
        { target: '/proxy' },
        { target: '/state', readOnly: true },
      ],
    });
    expect(commands.slice(0, 2)).toEqual([
      'ready',
      'claims 0 10.201.0.1/29 10.201.0.2 02:76:0a:c9:00:01 && listening 0 10.201.0.1/29 10.201.0.2 02:76:0a:c9:00:01',
    ]);
    await client.remove();
    expect(engine.held().containers).toEqual([]);
  });

  it('writes the elements down before it applies them, and applies what changes', async () => {
    await client.start([slot]);
    await client.applyRun(1, network(49152));
    expect(await state('ports')).toBe('tcp 49152 10.201.0.3 8888\n');
    expect(await state('receiving')).toBe('10.202.0.9 10.201.0.3 tcp 8888\n');
    expect(await state('sending')).toBe(
      '10.201.0.3 10.202.0.9 tcp 49152\n10.201.0.3 10.201.0.3 tcp 8888\n',
    );
    expect(commands.at(-1)).toBe(
      "printf '%s\\n' 'add element inet v6client ports { tcp . 49152 : 10.201.0.3 . 8888 }' 'add element inet v6client receiving { 10.202.0.9 . 10.201.0.3 . tcp . 8888 }' 'add element inet v6client sending { 10.201.0.3 . 10.202.0.9 . tcp . 49152, 10.201.0.3 . 10.201.0.3 . tcp . 8888 }' | nft -f -",
    );
    const told = commands.length;
    await client.applyRun(1, network(49152));
    expect(commands).toHaveLength(told);
    await client.removeRun(1, slot.algorithm);
    for (const file of ['ports', 'receiving', 'sending']) expect(await state(file)).toBe('');
    expect(commands.at(-1)).toContain("'flush map inet v6client ports'");
    // The flush finds them all: looking for each costs five programs more.
    expect(commands.at(-1)).toMatch(/ \| nft -f - && flush 10\.201\.0\.3$/);
  });

  it('cuts the flows of a peer that leaves, and of a destination that goes', async () => {
    await client.start([slot]);
    const joined = network(49152);
    await client.applyRun(1, joined);
    await client.applyRun(1, { ...joined, peers: [], destinations: [] });
    expect(commands.at(-1)).toContain(
      "&& printf '%s\\n' '10.202.0.9 10.201.0.3' '10.201.0.3 10.202.0.9' | cut",
    );
    await client.applyRun(1, joined);
    expect(commands.at(-1)).not.toContain('cut');
  });

  it('goes back to what stood before when the rules are refused', async () => {
    await client.start([slot]);
    await client.applyRun(1, network(49152));
    refused = '49153';
    await expect(client.applyRun(2, network(49153, next))).rejects.toMatchObject({
      code: 'V6_FIREWALL_APPLY',
    });
    expect(await state('ports')).toBe('tcp 49152 10.201.0.3 8888\n');
    await expect(client.applyRun(2, network(49152, next))).rejects.toThrow(/held by run 1/);
    // A refused attempt never leaves its peers behind.
    refused = undefined;
    await client.applyRun(3, network(49154, next));
    expect(commands.at(-1)).not.toContain('49153');
  });

  it.each([
    ['the flows could not be cut', '| cut'],
    ['the sets were not to be changed', 'v6client'],
  ])('does not allow again what was taken away when %s', async (_, text) => {
    await client.start([slot, next]);
    const joined = network(49152);
    await client.applyRun(1, joined);
    refused = text;
    await expect(
      client.applyRun(1, { ...joined, peers: [], destinations: [] }),
    ).rejects.toMatchObject({ code: 'V6_FIREWALL_APPLY' });
    expect(await state('receiving')).toBe('');
    refused = undefined;
    // Somebody else's change makes up for it, flows that are still open included.
    await client.applyRun(2, { ...network(49153, next), peers: [] });
    expect(commands.at(-1)).toContain('flush set inet v6client receiving');
    expect(commands.at(-1)).not.toContain('10.202.0.9 . 10.201.0.3');
    expect(commands.at(-1)).toContain("'10.202.0.9 10.201.0.3' '10.201.0.3 10.202.0.9' | cut");
    expect(await state('ports')).toContain('tcp 49152 10.201.0.3 8888');
  });

  it('takes away what is no longer allowed also when the disk is full', async () => {
    await client.start([slot]);
    const joined = network(49152);
    await client.applyRun(1, joined);
    const blocked = path.join(folder.path, 'state', 'receiving.new');
    await mkdir(blocked);
    const other = '10.202.0.10' as Ipv4;
    await expect(client.applyRun(1, { ...joined, peers: [other] })).rejects.toThrow(
      /Could not write/,
    );
    // Who is new waits for the next attempt.
    expect(commands.at(-1)).not.toContain(other);
    expect(commands.at(-1)).not.toContain('10.202.0.9 . 10.201.0.3');
    expect(commands.at(-1)).toContain("'10.202.0.9 10.201.0.3' | cut");
    await rmdir(blocked);
    await client.applyRun(1, { ...joined, peers: [other] });
    expect(await state('receiving')).toBe('10.202.0.10 10.201.0.3 tcp 8888\n');
  });

  it('loads the table anew when the sets do not take a change', async () => {
    await client.start([slot]);
    refused = '| nft -f -';
    await client.applyRun(1, network(49152));
    expect(commands.at(-1)).toMatch(/^printf .*49152 : 10\.201\.0\.3 \. 8888 \}.* \| load_rules$/);
  });

  it('does not want the rules of a run back that could not be removed', async () => {
    await client.start([slot]);
    await client.applyRun(1, network(49152));
    await client.applyRun(3, network(49154, next));
    refused = 'v6client';
    await expect(client.removeRun(1, slot.algorithm)).rejects.toThrow();
    expect(await state('receiving')).not.toContain('10.201.0.3');
    refused = undefined;
    await client.applyRun(2, network(49153));
    expect(commands.at(-1)).toContain('flush set inet v6client receiving');
    expect(commands.at(-1)).toContain('flush 10.201.0.3');
  });

  it('keeps what an earlier daemon had for runs that outlived it, until they join or end', async () => {
    await client.start([slot, next]);
    await client.applyRun(1, network(49152));
    await client.applyRun(2, network(49153, next));
    await client.close();
    client = createVpnClient(deps);
    await client.start([slot, next], [slot.algorithm]);
    // Nothing of the other, whose container is gone.
    expect(await state('ports')).toBe('tcp 49152 10.201.0.3 8888\n');
    expect(await state('receiving')).toBe('10.202.0.9 10.201.0.3 tcp 8888\n');
    expect(await state('sending')).not.toContain('10.201.0.11 ');
    await client.applyRun(2, network(49153, next));
    expect(await state('ports')).toContain('49152');
    await client.applyRun(1, { ...network(49152), peers: [] });
    expect(await state('receiving')).toBe('10.202.0.9 10.201.0.11 tcp 8888\n');
    expect(commands.at(-1)).toContain("'10.202.0.9 10.201.0.3' | cut");
    await client.close();
    client = createVpnClient(deps);
    await client.start([slot, next], [slot.algorithm]);
    await client.removeRun(1, slot.algorithm);
    expect(await state('ports')).toBe('');
  });

  it('detaches a slot again that cannot be claimed', async () => {
    await client.start([slot]);
    refused = 'claims 1 10.201.0.9/29';
    await expect(client.attachSlot(next)).rejects.toMatchObject({ code: 'V6_VPN_CLIENT_FAILED' });
    expect(Object.keys((await engine.containers.find(CONTAINER))?.networks ?? {})).toEqual([
      'v6a-user-alpha',
      slot.network,
    ]);
    expect(await state('slots')).toBe('0 10.201.0.1/29 10.201.0.2 02:76:0a:c9:00:01\n');
  });

  it('applies everything again when the container was lost', async () => {
    await client.start([slot]);
    await client.attachSlot(next);
    await client.applyRun(1, network(49152));
    commands.length = 0;
    await engine.containers.remove(CONTAINER);
    await until('all is applied again', 5000, () => commands.includes(everything));
    // Both slots with one command.
    const claims = commands.filter((command) => command.startsWith('claims'));
    expect(claims).toHaveLength(1);
    expect(claims[0]).toContain('claims 0 10.201.0.1/29');
    expect(claims[0]).toContain(' 1 10.201.0.9/29');
    expect(Object.keys((await engine.containers.find(CONTAINER))?.networks ?? {})).toHaveLength(3);
  });

  it('does not wait for the engine when somebody killed the container, and goes on when it was paused', async () => {
    await client.start([slot]);
    commands.length = 0;
    await engine.containers.kill(CONTAINER, 'SIGKILL');
    await until('all is applied again', 1000, () =>
      commands.some((command) => command.includes('flush map inet v6client ports')),
    );
    const before = await engine.containers.find(CONTAINER);
    engine.pause(CONTAINER);
    await until(
      'it goes on',
      1000,
      async () => (await engine.containers.find(CONTAINER))?.state === 'running',
    );
    expect((await engine.containers.find(CONTAINER))?.startedAt).toEqual(before?.startedAt);
  });

  it('keeps its tunnel when only the stream of commands was lost', async () => {
    await client.start([slot]);
    await connect();
    const states: string[] = [];
    client.onTunnelChange(({ kind }) => states.push(kind));
    commands.length = 0;
    engine.loseStreams(CONTAINER);
    await until('there is another stream', 5000, () => commands.includes('ready'));
    expect(states).toEqual([]);
    expect(client.tunnel()).toMatchObject({ kind: 'connected' });
  });

  it('is made anew when somebody gave its container another name', async () => {
    await client.start([slot]);
    engine.rename(CONTAINER, 'other');
    await client.reconcile();
    expect(engine.held().containers).toEqual([CONTAINER]);
    expect(Object.keys((await engine.containers.find(CONTAINER))?.networks ?? {})).toHaveLength(2);
  });

  it('leaves nothing behind when it cannot start', async () => {
    refused = 'ready';
    await expect(client.start([slot])).rejects.toMatchObject({ code: 'V6_VPN_CLIENT_FAILED' });
    expect(engine.held().containers).toEqual([]);
  });

  it('goes on without VPN where the host has no tun device', async () => {
    engine.failAt('containers.start', 1, 'V6_NET_TUN_MISSING');
    await client.start([slot]);
    expect(engine.specOf(CONTAINER)?.devices).toEqual([]);
    const config = await clientConfig();
    expect(await client.connect(config, { subnet: SUBNET, limitMs: 1000 })).toMatchObject({
      ok: false,
      failure: { code: 'V6_NET_TUN_MISSING', definite: true },
    });
  });

  it('hands a file to openvpn and waits for its answer, within the limit', async () => {
    await client.start([slot]);
    const config = await clientConfig();
    const connecting = client.connect(config, { subnet: SUBNET, limitMs: 5000 });
    await until('openvpn is called', 5000, () => commands.at(-1) === 'vpn_replace');
    expect(await state('remotes')).toBe('192.0.2.1 udp 1194\n');
    openvpn.open('>STATE:1,CONNECTED,SUCCESS,10.202.0.11,192.0.2.1,1194,,');
    expect(await connecting).toEqual({ ok: true, address: '10.202.0.11' });
    await client.disconnect();
    expect(client.tunnel()).toEqual({ kind: 'off' });
    expect(await state('remotes')).toBe('');
    const silent = await client.connect(config, { subnet: SUBNET, limitMs: 20 });
    expect(silent).toMatchObject({ ok: false, failure: { code: 'V6_VPN_SERVER_UNREACHABLE' } });
  });

  it('does not take a file away for a failure of the one before', async () => {
    await client.start([slot]);
    await connect();
    commands.length = 0;
    const second = client.connect(await clientConfig(), { subnet: SUBNET, limitMs: 5000 });
    openvpn.say('>STATE:2,RECONNECTING,ping-restart,,,,,', '>STATE:3,EXITING,auth-failure,,,,,');
    expect(client.tunnel()).toMatchObject({ kind: 'failed', failure: { definite: true } });
    const replaced = (): number => commands.filter((command) => command === 'vpn_replace').length;
    await until('openvpn is called again', 5000, () => replaced() === 1);
    await client.takeRefusals(network(49152));
    expect(commands).not.toContain('vpn_stop');
    openvpn.open('>STATE:4,CONNECTED,SUCCESS,10.202.0.12,192.0.2.1,1194,,');
    expect(await second).toEqual({ ok: true, address: '10.202.0.12' });
  });

  it('ends an openvpn whose end was lost with the stream, as soon as there is another', async () => {
    await client.start([slot]);
    await connect();
    let losses = 0;
    onCommand = (command) => {
      isSilent = command === 'vpn_stop' && losses === 0;
      if (!isSilent) return;
      losses += 1;
      engine.failAt('containers.openStream', 1, 'V6_ENGINE_MISSING');
      engine.loseStreams(CONTAINER);
    };
    await expect(client.disconnect()).rejects.toMatchObject({ code: 'V6_ENGINE_MISSING' });
    // That is the truth: it has not been told.
    expect(client.tunnel()).toMatchObject({ kind: 'connected' });
    await until('it is down', 5000, () => client.tunnel().kind === 'off');
    expect(commands.filter((command) => command === 'vpn_stop')).toHaveLength(3);
  });

  it('keeps the cause of a definite failure when the end of openvpn was lost', async () => {
    await client.start([slot]);
    await connect();
    commands.length = 0;
    onCommand = (command) => {
      isSilent = command === 'vpn_stop' && !commands.includes('ready');
      if (isSilent) engine.loseStreams(CONTAINER);
    };
    openvpn.say('>STATE:2,RECONNECTING,ping-restart,,,,,', '>STATE:3,EXITING,auth-failure,,,,,');
    await until('it is told again', 5000, () => commands.at(-1) === 'vpn_stop' && !isSilent);
    await client.takeRefusals(network(49152));
    expect(client.tunnel()).toMatchObject({ kind: 'failed', failure: { definite: true } });
  });

  it('ends the openvpn of an earlier daemon whose file is not usable', async () => {
    await client.start([slot]);
    await connect();
    await client.close();
    await writeFile(path.join(folder.path, 'client', 'client.ovpn'), 'half of a fi');
    commands.length = 0;
    client = createVpnClient(deps);
    await client.start([slot]);
    expect(commands).toContain('vpn_stop');
    expect(commands).not.toContain('wake');
  });

  it('puts no address on tun0 that the tunnel no longer has', async () => {
    await client.start([slot]);
    await connect();
    onCommand = (command) => {
      if (command !== 'survey') return;
      openvpn.end();
      openvpn.open('>STATE:2,CONNECTED,SUCCESS,10.202.0.12,192.0.2.1,1194,,');
    };
    await client.reconcile();
    expect(commands.filter((command) => command.startsWith('vpn_routes 10.202.0.11'))).toEqual([]);
  });

  it('writes a state file again that could not be written', async () => {
    await client.start([slot, next]);
    await client.applyRun(1, network(49152));
    const blocked = path.join(folder.path, 'state', 'ports.new');
    await mkdir(blocked);
    await expect(client.removeRun(1, slot.algorithm)).rejects.toThrow(/Could not write/);
    // It is not in the rules any more all the same.
    expect(commands.at(-1)).toMatch(/flush map inet v6client ports.* && flush 10\.201\.0\.3$/);
    await rmdir(blocked);
    await client.applyRun(2, { ...network(49153, next), mappings: [] });
    expect(await state('ports')).toBe('');
  });

  it('keeps the flows between two runs that outlived a daemon while only one has joined', async () => {
    await client.start([slot, next]);
    await client.applyRun(1, network(49152));
    await client.applyRun(2, network(49153, next));
    const both = ['10.201.0.3 10.201.0.11 tcp 8888\n', '10.201.0.11 10.201.0.3 tcp 8888\n'];
    const sending = await state('sending');
    for (const line of both) expect(sending).toContain(line);
    await client.close();
    client = createVpnClient(deps);
    await client.start([slot, next], [slot.algorithm, next.algorithm]);
    commands.length = 0;
    await client.applyRun(2, network(49153, next));
    for (const line of both) expect(await state('sending')).toContain(line);
    await client.applyRun(1, network(49152));
    for (const line of both) expect(await state('sending')).toContain(line);
    expect(commands.join('\n')).not.toContain('| cut');
    await client.removeRun(2, next.algorithm);
    expect(await state('sending')).not.toContain('10.201.0.11');
  });

  it('leaves nothing that an earlier daemon had for a run to the next one in its slot', async () => {
    await client.start([slot]);
    await client.applyRun(1, network(49152));
    await client.close();
    client = createVpnClient(deps);
    await client.start([slot], [slot.algorithm]);
    // Its end found no slot to give back.
    await client.cleanSlot(slot);
    await client.applyRun(2, { ...network(49153), peers: [], destinations: [], isUnread: true });
    expect(await state('ports')).not.toContain('49152');
    expect(await state('receiving')).toBe('');
    expect(await state('sending')).not.toContain('10.202.0.9');
  });

  it('keeps what an earlier daemon had for a run while its family cannot be read', async () => {
    await client.start([slot]);
    await client.applyRun(1, network(49152));
    await client.close();
    client = createVpnClient(deps);
    await client.start([slot], [slot.algorithm]);
    const server = new FakeCoordinator();
    const clock = new ManualClock();
    const life = new AbortController();
    const families = new TaskFamilies(
      {
        server: server.family,
        vpn: client,
        self: 3,
        vpnSubnet: SUBNET,
        clock,
        logger: silentLogger,
      },
      life.signal,
    );
    server.isAway = true;
    commands.length = 0;
    const { algorithm, mappings } = network(49152);
    await families.join({ run: 1, task: 1, parent: null, algorithm, mappings });
    expect(await state('receiving')).toBe('10.202.0.9 10.201.0.3 tcp 8888\n');
    expect(await state('sending')).toContain('10.201.0.3 10.202.0.9 tcp 49152\n');
    expect(commands.join('\n')).not.toContain('| cut');
    server.isAway = false;
    families.hint();
    for (let turn = 0; turn < 5; turn += 1) {
      await clock.turn(30_000);
      await settled();
    }
    await client.takeRefusals(network(49152));
    expect(await state('receiving')).toBe('');
    expect(commands.join('\n')).toContain("'10.202.0.9 10.201.0.3' '10.201.0.3 10.202.0.9' | cut");
    life.abort(new Error('over'));
  });

  it('leaves no stream open that was being opened when it was let go', async () => {
    await client.start([slot]);
    const openStream = engine.containers.openStream.bind(engine.containers);
    const turn = Promise.withResolvers<void>();
    let opening = 0;
    let closed = 0;
    Object.assign(engine.containers, {
      openStream: async (id: string, command: readonly string[]): Promise<LineStream> => {
        opening += 1;
        await turn.promise;
        const stream = await openStream(id, command);
        const close = (): void => {
          closed += 1;
          stream.close();
        };
        return { ...stream, close };
      },
    });
    engine.loseStreams(CONTAINER);
    await until('another is being opened', 5000, () => opening === 1);
    commands.length = 0;
    const closing = client.close();
    turn.resolve();
    await closing;
    expect(commands).toEqual([]);
    expect(closed).toBeGreaterThan(0);
  });

  it('waits for no word of a client that says nothing when it is let go', async () => {
    client = createVpnClient({ ...deps, clock: new ManualClock() });
    await client.start([slot]);
    isSilent = true;
    commands.length = 0;
    engine.loseStreams(CONTAINER);
    await until('it is asked anew', 2000, () => commands.includes('ready'));
    let isClosed = false;
    void client.close().then(() => {
      isClosed = true;
    });
    await until('it is let go', 3000, () => isClosed);
    expect(commands).toEqual(['ready']);
  });

  it('does not wait for ever for an engine that says nothing when it is let go', async () => {
    const clock = new ManualClock();
    client = createVpnClient({ ...deps, clock });
    await client.start([slot]);
    const hanging = Promise.withResolvers<undefined>();
    let isAsked = false;
    Object.assign(engine.containers, {
      find: () => {
        isAsked = true;
        return hanging.promise;
      },
    });
    engine.loseStreams(CONTAINER);
    await until('the engine is asked', 2000, () => isAsked);
    let isClosed = false;
    void client.close().then(() => {
      isClosed = true;
    });
    await settled();
    // What is under way has a moment.
    expect(isClosed).toBe(false);
    await clock.turn(3000);
    expect(isClosed).toBe(true);
    hanging.resolve(undefined);
  });

  it('goes on with the tunnel that is up when the next file cannot be written', async () => {
    await client.start([slot]);
    await connect();
    await mkdir(path.join(folder.path, 'client', 'client.ovpn.new'));
    const second = client.connect(await clientConfig('192.0.2.2 1194 udp'), {
      subnet: SUBNET,
      limitMs: 5000,
    });
    await expect(second).rejects.toThrow(/Could not write/);
    expect(client.tunnel()).toMatchObject({ kind: 'connected', address: '10.202.0.11' });
    expect(await state('remotes')).toBe('192.0.2.1 udp 1194\n');
    openvpn.say('>STATE:2,RECONNECTING,ping-restart,,,,,');
    expect(client.tunnel()).toMatchObject({ kind: 'connecting' });
  });

  it('is brought back again when it is lost at the moment that it is back', async () => {
    await client.start([slot]);
    commands.length = 0;
    let losses = 0;
    onCommand = (command) => {
      if (!command.includes('flush map inet v6client ports') || losses > 0) return;
      losses += 1;
      engine.loseStreams(CONTAINER);
    };
    engine.loseStreams(CONTAINER);
    const opened = (): number => commands.filter((command) => command === 'ready').length;
    await until('there is a third stream', 3000, () => opened() === 2);
  });
});
