import { createServer, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Ipv4, ipv4ToNumber } from '../../src/core/net/ipv4.ts';
import type { Slot } from '../../src/core/vpn/slot.ts';
import type { RunNetwork } from '../../src/core/vpn/task-firewall.ts';
import type { PortMapping, TunnelState } from '../../src/core/vpn/tunnel.ts';
import { createVpnClient } from '../../src/node/vpn-client/vpn-client.ts';
import { type LabNode, VPN_SUBNET, VpnLab, writeAddresses } from '../support/vpn-lab.ts';
import { until } from '../support/wait.ts';

const PORT = 49152;
const RUN = 1;
const LISTENING = "ss -Hlntu 'sport = :8888' | wc -l";
const connectOptions = { subnet: VPN_SUBNET, limitMs: 20_000 };

/** Two nodes with real OpenVPN, real rules, and an algorithm each that echoes what it is told. */
describe('a tunnel between two VPN clients', () => {
  let lab: VpnLab;
  let a: LabNode;
  let b: LabNode;
  let algorithmA: string;
  let algorithmB: string;

  beforeAll(async () => {
    lab = await VpnLab.open('tun');
    await writeAddresses(lab, 2);
    await lab.startServer();
    a = await lab.addNode(1, { slots: 2 });
    b = await lab.addNode(2);
    const outcomes = await Promise.all(
      [a, b].map((node) => node.client.connect(node.config, connectOptions)),
    );
    expect(outcomes).toEqual([
      { ok: true, address: a.vpnAddress },
      { ok: true, address: b.vpnAddress },
    ]);
    // The mapping stands before the container does.
    await a.client.applyRun(RUN, network(slotOf(a), [b]));
    await b.client.applyRun(RUN, network(slotOf(b), [a]));
    algorithmA = await lab.addAlgorithm(a, slotOf(a));
    algorithmB = await lab.addAlgorithm(b, slotOf(b));
    await until('both algorithms listen', 30_000, async () =>
      (await Promise.all([algorithmA, algorithmB].map((id) => lab.shell(id, LISTENING)))).every(
        (count) => Number(count) === 2,
      ),
    );
  });
  afterAll(() => lab?.remove());

  it('carries tcp and udp both ways, and to the own address', async () => {
    const pairs = [
      [algorithmA, b],
      [algorithmB, a],
      [algorithmA, a],
      [algorithmB, b],
    ] as const;
    const answers = await Promise.all(
      pairs.flatMap(([from, to]) =>
        (['tcp', 'udp'] as const).map((kind) => lab.ask(from, `${to.vpnAddress}:${PORT}`, kind)),
      ),
    );
    expect(answers).toEqual(Array.from({ length: 8 }, () => 'marker'));
  });

  it('counts one more connection at the receiver, and no word of it is on the uplink in clear', async () => {
    const sniffer = await lab.sniff();
    const before = await counters(b);
    const fromTunnel = await receivedPackets(b);
    expect(await lab.ask(algorithmA, `${b.vpnAddress}:${PORT}`, 'tcp', 'canary-one')).toBe(
      'canary-one',
    );
    expect(await lab.ask(algorithmA, `${b.vpnAddress}:${PORT}`, 'udp', 'canary-two')).toBe(
      'canary-two',
    );
    expect((await counters(b))['accept-from-vpn']?.packets).toBe(
      (before['accept-from-vpn']?.packets ?? 0) + 2,
    );
    expect(await receivedPackets(b)).toBeGreaterThan(fromTunnel + 3);
    // What the sniffer can see, it sees: the same word on the uplink itself.
    const neighbour = await lab.addContainer(`${lab.sandbox.id}-plain`, {
      command: ['-c', 'sleep 600'],
      networks: [{ name: lab.uplink }],
    });
    await lab.shell(
      neighbour,
      `printf canary-plain | socat -t 0.2 - UDP:${lab.serverAddress}:9999 2>&1`,
    );
    await until('the sniffer saw the plain word', 20_000, () => sniffer.count('canary-plain'));
    expect(await sniffer.count('canary-one')).toBe(0);
    expect(await sniffer.count('canary-two')).toBe(0);
    await sniffer.stop();
  });

  it('has the rules that were reviewed', async () => {
    const { rules } = await b.client.describe();
    await expect(normalize(rules)).toMatchFileSnapshot('../golden/client-rules.nft');
  });

  it('fails the pair when the map element is removed, cuts its open flow, and passes it again', async () => {
    const flow = await openFlow(algorithmA, `${b.vpnAddress}:${PORT}`, 'cut');
    await b.client.removeRun(RUN, slotOf(b).algorithm);
    expect(await lab.ask(algorithmA, `${b.vpnAddress}:${PORT}`)).toBe('');
    expect(await lab.ask(algorithmB, `${b.vpnAddress}:${PORT}`)).toBe('');
    expect(await flow.say('after', 2000)).toBe(false);
    await b.client.applyRun(RUN, network(slotOf(b), [a]));
    expect(await lab.ask(algorithmA, `${b.vpnAddress}:${PORT}`)).toBe('marker');
    await flow.close();
  });

  it('ends all flows of an algorithm, also while others of them end by themselves', async () => {
    // As many as the algorithm has called itself (found by both walks through the table) and as peers have called it.
    const add =
      'conntrack -I -p tcp --timeout 100 --state ESTABLISHED -d 192.0.2.9 --dport 49152 --reply-port-src 8888';
    const reversed = (from: string, to: string, port: string) =>
      `${add} -s ${from} --sport ${port} -r 192.0.2.1 -q ${to} --reply-port-dst ${port}`;
    const lines = [
      '. /usr/local/lib/v6/client.sh',
      'for round in 1 2 3 4 5 6; do',
      `for i in 10 11 12 13 14 15 16 17; do ${reversed('192.0.2.1', '192.0.2.2', '200$i')}; ${reversed('192.0.2.5', '192.0.2.5', '300$i')}; done >/dev/null 2>&1`,
      'conntrack -L -r 192.0.2.1 2>/dev/null | wc -l; flush 192.0.2.1; conntrack -L -r 192.0.2.1 2>/dev/null | wc -l',
      'done',
    ];
    const counts = await lab.shell(b.container, lines.join('\n'));
    expect(counts.trim().split('\n')).toEqual(Array.from({ length: 6 }, () => ['16', '0']).flat());
  });

  it('never opens a port that is not registered', async () => {
    const ports = [PORT + 1, 8080, 8888];
    const answers = await Promise.all(
      ports.map((port) => lab.ask(algorithmA, `${b.vpnAddress}:${port}`)),
    );
    expect(answers).toEqual(['', '', '']);
  });

  it('opens nothing to a neighbour on the uplink, neither by the tunnel address nor by the slot', async () => {
    const neighbour = await lab.addContainer(`${lab.sandbox.id}-neighbour`, {
      command: ['-c', 'sleep 600'],
      networks: [{ name: lab.uplink }],
      capabilities: ['NET_ADMIN'],
    });
    await lab.shell(
      neighbour,
      `ip route add ${VPN_SUBNET} via ${b.uplinkAddress}; ip route add ${slotOf(b).subnet} via ${b.uplinkAddress}`,
    );
    const targets = [
      `${b.vpnAddress}:${PORT}`,
      `${b.uplinkAddress}:${PORT}`,
      `${slotOf(b).algorithm}:8888`,
      `${slotOf(b).gateway}:8080`,
    ];
    const answers = await Promise.all(
      targets.flatMap((target) => [lab.ask(neighbour, target), lab.ask(neighbour, target, 'udp')]),
    );
    expect(answers.join('')).toBe('');
  });

  it('lets an algorithm reach neither the uplink, nor the host, nor another slot', async () => {
    const other = slotOf(a, 1);
    const victim = await lab.addAlgorithm(a, other);
    await until(
      'the victim listens',
      20_000,
      async () => Number(await lab.shell(victim, LISTENING)) === 2,
    );
    for (const target of [
      `${lab.serverAddress}:1194`,
      `${other.algorithm}:8888`,
      `${a.uplinkAddress}:8080`,
    ]) {
      expect(await lab.ask(algorithmA, target), target).toBe('');
    }
    const { through, rejected } = await lossOf('kill-switch', 'reject-from-slot');
    expect(through + rejected).toBeGreaterThan(0);
  });

  it('drops a source address that is not the sender’s own', async () => {
    const other = slotOf(a, 1);
    const spoofer = await lab.addContainer(`${lab.sandbox.id}-spoofer`, {
      command: ['-c', 'sleep 600'],
      networks: [{ name: slotOf(b).network }],
      capabilities: ['NET_ADMIN'],
    });
    const before = (await counters(b))['drop-spoofed']?.packets ?? 0;
    const fake = other.algorithm;
    await lab.shell(
      spoofer,
      `ip addr add ${fake}/32 dev eth0; printf x | socat -t 0.2 - UDP:${a.vpnAddress}:${PORT},bind=${fake} 2>&1`,
    );
    expect((await counters(b))['drop-spoofed']?.packets ?? 0).toBeGreaterThan(before);
    await lab.engine.containers.remove(spoofer);
  });

  it('relays each slot to its own socket, and no slot to another’s', async () => {
    const servers = await Promise.all(a.slots.map((slot) => listen(a, slot)));
    const first = slotOf(a);
    const second = slotOf(a, 1);
    expect(await lab.ask(algorithmA, `${first.gateway}:8080`)).toBe('slot 0');
    // Linux would answer for the other slot's address as well: the relay there would take the caller for that run.
    expect(await lab.ask(algorithmA, `${second.gateway}:8080`)).toBe('');
    expect(await lab.ask(algorithmA, `${first.client}:8080`)).toBe('');
    for (const server of servers) server.close();
  });

  it('sends nothing in clear while the tunnel is down, and open connections survive openvpn’s end', async () => {
    const states: TunnelState['kind'][] = [];
    a.client.onTunnelChange((state) => states.push(state.kind));
    const flow = await openFlow(algorithmA, `${b.vpnAddress}:${PORT}`, 'survivor');
    const sniffer = await lab.sniff();
    await lab.shell(a.container, 'kill -KILL "$(cat /run/v6/openvpn.pid)"');
    await until('the tunnel is seen to be down', 5000, () => states.includes('connecting'));
    const during = lab.ask(algorithmA, `${b.vpnAddress}:${PORT}`, 'udp', 'canary-down');
    await until('the tunnel is up again', 15_000, () => a.client.tunnel().kind === 'connected');
    await during;
    expect(states).toEqual(['connecting', 'connected']);
    expect(await flow.say('canary-survivor')).toBe(true);
    expect(await sniffer.count('canary-down')).toBe(0);
    expect(await sniffer.count('canary-survivor')).toBe(0);
    await sniffer.stop();
    await flow.close();
  });

  it('keeps the kill switch while there is no tunnel at all', async () => {
    await a.client.disconnect();
    expect(a.client.tunnel()).toEqual({ kind: 'off' });
    const sniffer = await lab.sniff();
    for (const protocol of ['tcp', 'udp'] as const) {
      const asked = await lab.ask(algorithmA, `${b.vpnAddress}:${PORT}`, protocol, 'canary-off');
      expect(asked).toBe('');
    }
    expect(await sniffer.count('canary-off')).toBe(0);
    // Not even the opening of a connection, which carries no word.
    expect(await sniffer.hasBytes(hexOf(slotOf(a).algorithm))).toBe(false);
    expect(await sniffer.hasBytes(hexOf(lab.serverAddress))).toBe(true);
    await sniffer.stop();
    const outcome = await a.client.connect(a.config, connectOptions);
    expect(outcome).toEqual({ ok: true, address: a.vpnAddress });
    expect(await lab.ask(algorithmB, `${a.vpnAddress}:${PORT}`)).toBe('marker');
  });

  it('holds an open connection back even when the routes of the VPN are gone', async () => {
    const flow = await openFlow(algorithmA, `${b.vpnAddress}:${PORT}`, 'routeless');
    const sniffer = await lab.sniff();
    const before = (await counters(a))['kill-switch']?.packets ?? 0;
    // Now the default route through the uplink is the only way that is left.
    await lab.shell(
      a.container,
      `ip route del ${VPN_SUBNET} dev tun0 metric 100; ip route del blackhole ${VPN_SUBNET} metric 4000; ip addr flush dev tun0`,
    );
    expect(await lab.shell(a.container, `ip route get ${b.vpnAddress}`)).toContain('dev eth');
    expect(await flow.say('canary-leak', 1000)).toBe(false);
    expect((await counters(a))['kill-switch']?.packets ?? 0).toBeGreaterThan(before);
    expect(await sniffer.count('canary-leak')).toBe(0);
    await sniffer.stop();
    await flow.close();
    await lab.engine.containers.kill(a.container, 'SIGKILL');
    await until('the tunnel is down', 10_000, () => a.client.tunnel().kind === 'connecting');
    await until('the tunnel is back', 20_000, () => a.client.tunnel().kind === 'connected');
  });

  it('applies all that is wanted again when the container is killed, and when it is removed', async () => {
    for (const end of ['kill', 'remove'] as const) {
      const before = await lab.engine.containers.find(a.container);
      if (end === 'kill') await lab.engine.containers.kill(a.container, 'SIGKILL');
      else await lab.engine.containers.remove(a.container);
      await until(`the container is back after ${end}`, 30_000, async () => {
        const now = await lab.engine.containers.find(a.container);
        return (
          now?.state === 'running' && now.startedAt?.getTime() !== before?.startedAt?.getTime()
        );
      });
      await until(
        `pairs pass after ${end}`,
        30_000,
        async () => {
          const there = await lab.ask(algorithmB, `${a.vpnAddress}:${PORT}`);
          const back = await lab.ask(algorithmA, `${b.vpnAddress}:${PORT}`);
          return `${there} ${back}`;
        },
        (answers) => answers === 'marker marker',
      );
      expect(a.client.tunnel()).toMatchObject({ kind: 'connected', address: a.vpnAddress });
    }
  });

  it('notices an openvpn that does nothing, and starts it again', async () => {
    const seen: TunnelState['kind'][] = [];
    b.client.onTunnelChange((state) => seen.push(state.kind));
    await lab.shell(b.container, 'kill -STOP "$(cat /run/v6/openvpn.pid)"');
    await until('the frozen openvpn is replaced', 25_000, () => seen.at(-1) === 'connected');
    expect(await lab.ask(algorithmA, `${b.vpnAddress}:${PORT}`)).toBe('marker');
  });

  it('serves a node without VPN: its slots have their relay, and nothing else', async () => {
    const off = await lab.addNode(3, { vpnSubnet: undefined });
    const algorithm = await lab.addAlgorithm(off, slotOf(off));
    const server = await listen(off, slotOf(off));
    expect(await lab.ask(algorithm, `${slotOf(off).gateway}:8080`)).toBe('slot 0');
    expect(await lab.ask(algorithm, `${b.vpnAddress}:${PORT}`)).toBe('');
    expect(await lab.ask(algorithm, `${lab.serverAddress}:1194`, 'udp')).toBe('');
    expect(await off.client.connect(off.config, connectOptions)).toMatchObject({
      ok: false,
      failure: { code: 'V6_VPN_OFF' },
    });
    expect(off.client.tunnel()).toEqual({ kind: 'off' });
    server.close();
  });

  it('comes back when the networks of idle slots were pruned while it stood still', async () => {
    const [, , third] = lab.nodes;
    if (!third) throw new Error('the node without VPN is missing');
    await lab.engine.containers.remove(`v6-test-${third.name}-alg-0`);
    await third.client.close();
    await lab.engine.containers.stop(third.container, 2);
    await lab.engine.networks.remove(slotOf(third).network);
    const again = createVpnClient(third.deps);
    await again.start(third.slots);
    const algorithm = await lab.addAlgorithm(third, slotOf(third));
    const server = await listen(third, slotOf(third));
    expect(await lab.ask(algorithm, `${slotOf(third).gateway}:8080`)).toBe('slot 0');
    server.close();
    await again.close();
    // The lab knows its networks by its label.
    await lab.engine.containers.remove(algorithm);
    await again.remove();
    await lab.engine.networks.remove(slotOf(third).network);
  });

  it('is adopted by a daemon that starts again, tunnel and all', async () => {
    const before = await lab.engine.containers.find(b.container);
    await b.client.close();
    const again = createVpnClient(b.deps);
    await again.start(b.slots);
    const outcome = await again.connect(b.config, connectOptions);
    expect(outcome).toEqual({ ok: true, address: b.vpnAddress });
    expect((await lab.engine.containers.find(b.container))?.startedAt).toEqual(before?.startedAt);
    await again.applyRun(RUN, network(slotOf(b), [a]));
    expect(await lab.ask(algorithmA, `${b.vpnAddress}:${PORT}`)).toBe('marker');
    await again.close();
  });

  it('tells a refused certificate, an untrusted server and a silent server apart', async () => {
    const unknown = await lab.clientConfig('node-99');
    expect(await a.client.connect(unknown, connectOptions)).toMatchObject({
      ok: false,
      failure: { code: 'V6_VPN_CERTIFICATE_REFUSED', definite: true },
    });
    const stranger = await lab.clientConfig('node-1', { stranger: true });
    expect(await a.client.connect(stranger, connectOptions)).toMatchObject({
      ok: false,
      failure: { code: 'V6_VPN_CERTIFICATE_REFUSED', definite: true },
    });
    expect(a.client.tunnel()).toMatchObject({ kind: 'failed' });
    const silent = await lab.clientConfig('node-1', { remote: `${a.uplinkAddress} 1195 udp` });
    expect(await a.client.connect(silent, { ...connectOptions, limitMs: 1500 })).toMatchObject({
      ok: false,
      failure: { code: 'V6_VPN_SERVER_UNREACHABLE', definite: false },
    });
    expect(await a.client.connect(a.config, connectOptions)).toMatchObject({ ok: true });
  });

  async function lossOf(one: string, two: string): Promise<{ through: number; rejected: number }> {
    const found = await counters(a);
    return { through: found[one]?.packets ?? 0, rejected: found[two]?.packets ?? 0 };
  }

  async function receivedPackets(node: LabNode): Promise<number> {
    return Number(await lab.shell(node.container, 'cat /sys/class/net/tun0/statistics/rx_packets'));
  }

  /** A connection that stays open; `say` tells whether the word came back within 8 s. */
  async function openFlow(
    container: string,
    to: string,
    name: string,
  ): Promise<{ say(word: string, limitMs?: number): Promise<boolean>; close(): Promise<void> }> {
    const shell = await lab.engine.containers.openStream(container, [
      'socat',
      '-T',
      '60',
      '-',
      `TCP:${to},connect-timeout=3`,
    ]);
    const heard: string[] = [];
    const reading = (async () => {
      for await (const line of shell.lines) heard.push(line);
    })();
    const say = async (word: string, limitMs = 8000): Promise<boolean> => {
      shell.write(word);
      return until(`an answer to ${word}`, limitMs, () => heard.includes(word)).catch(() => false);
    };
    expect(await say(`hello ${name}`)).toBe(true);
    return {
      say,
      close: async () => {
        shell.close();
        await reading;
      },
    };
  }
});

function slotOf(node: LabNode, index = 0): Slot {
  const slot = node.slots[index];
  if (!slot) throw new Error(`${node.name} has no slot ${index}`);
  return slot;
}

/** A run of task 1 at this slot whose family has a run on each of these nodes, with the same ports. */
function network(
  slot: Slot,
  others: readonly LabNode[],
  more: Partial<RunNetwork> = {},
): RunNetwork {
  return {
    task: 1,
    parent: null,
    algorithm: slot.algorithm,
    mappings: mappings(slot),
    peers: others.map(({ vpnAddress }) => vpnAddress),
    destinations: others.flatMap(({ vpnAddress: address }) =>
      (['tcp', 'udp'] as const).map((protocol) => ({ address, protocol, port: PORT })),
    ),
    ...more,
  };
}

function mappings(slot: Slot): readonly PortMapping[] {
  return (['tcp', 'udp'] as const).map((protocol) => ({
    protocol,
    tunnelPort: PORT,
    address: slot.algorithm,
    port: 8888,
    label: null,
  }));
}

async function counters(
  node: LabNode,
): Promise<Readonly<Record<string, { readonly packets: number }>>> {
  return (await node.client.describe()).counters ?? {};
}

/** What the daemon's proxy does: one socket for each slot. */
async function listen(node: LabNode, slot: Slot): Promise<Server> {
  const server = createServer((socket) => socket.end(`slot ${slot.index}`));
  await new Promise<void>((resolve) => {
    server.listen(`${node.runDir}/proxy/slot-${slot.index}.sock`, resolve);
  });
  return server;
}

/** An address as the packet holds it. */
function hexOf(address: Ipv4): string {
  return (ipv4ToNumber(address) ?? 0).toString(16).padStart(8, '0');
}

/** Rules without what changes by itself: counters and the elements of this run. */
function normalize(rules: string): string {
  return `${rules
    .replaceAll(/counter packets \d+ bytes \d+/g, 'counter')
    .replaceAll(/10\.201\.\d+\.0\/24/g, 'ISO_NET')
    .replaceAll(/\n\t\telements = \{[^}]*\}/g, '')
    .trim()}\n`;
}
