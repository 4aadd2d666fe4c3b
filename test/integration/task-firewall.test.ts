import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Slot } from '../../src/core/vpn/slot.ts';
import type { RunNetwork } from '../../src/core/vpn/task-firewall.ts';
import { createVpnClient } from '../../src/node/vpn-client/vpn-client.ts';
import { type LabNode, VPN_SUBNET, VpnLab, writeAddresses } from '../support/vpn-lab.ts';
import { until } from '../support/wait.ts';

const PORT = 49152;
const SECOND = 49153;
const RUN = 1;
const LISTENING = "ss -Hlntu 'sport = :8888' | wc -l";
const connectOptions = { subnet: VPN_SUBNET, limitMs: 20_000 };
const KINDS = ['tcp', 'udp'] as const;

/** Three nodes with real OpenVPN and an algorithm each: a and b of one task, c of another. a has a second algorithm. */
describe('the task firewall', () => {
  let lab: VpnLab;
  let a: LabNode;
  let b: LabNode;
  let c: LabNode;
  let algorithmA: string;
  let algorithmB: string;
  let algorithmC: string;
  let neighbour: string;

  beforeAll(async () => {
    lab = await VpnLab.open('fw');
    await writeAddresses(lab, 3);
    await lab.startServer();
    a = await lab.addNode(1, { slots: 2 });
    b = await lab.addNode(2);
    c = await lab.addNode(3);
    await Promise.all([a, b, c].map((node) => node.client.connect(node.config, connectOptions)));
    algorithmA = await lab.addAlgorithm(a, slotOf(a));
    algorithmB = await lab.addAlgorithm(b, slotOf(b));
    algorithmC = await lab.addAlgorithm(c, slotOf(c));
    neighbour = await lab.addAlgorithm(a, slotOf(a, 1));
    await asWanted();
    await until('all algorithms listen', 30_000, async () => {
      const all = [algorithmA, algorithmB, algorithmC, neighbour];
      const counts = await Promise.all(all.map((id) => lab.shell(id, LISTENING)));
      return counts.every((count) => Number(count) === 2);
    });
  });
  afterAll(async () => {
    // It would bring its container back.
    await a?.client.close();
    await lab?.remove();
  });

  /** a and b are task 1, c and the neighbour are tasks of their own. */
  async function asWanted(): Promise<void> {
    await a.client.applyRun(RUN, network(slotOf(a), [b]));
    await a.client.applyRun(RUN + 1, network(slotOf(a, 1), [], { task: 3 }));
    await b.client.applyRun(RUN, network(slotOf(b), [a]));
    await c.client.applyRun(RUN, network(slotOf(c), [], { task: 2 }));
  }

  const reach = (from: string, to: LabNode, port = PORT): Promise<readonly string[]> =>
    Promise.all(KINDS.map((kind) => lab.ask(from, `${to.vpnAddress}:${port}`, kind)));
  const counter = async (node: LabNode, name: string): Promise<number> =>
    (await node.client.describe()).counters?.[name]?.packets ?? 0;

  it('lets two algorithms of a task reach each other by tcp and udp, and themselves', async () => {
    for (const [from, to] of [
      [algorithmA, b],
      [algorithmB, a],
      [algorithmA, a],
      [algorithmB, b],
    ] as const)
      expect(await reach(from, to)).toEqual(['marker', 'marker']);
  });

  it('refuses an algorithm of another task at its own node, at once and with a record', async () => {
    const before = await counter(b, 'drop-not-of-task');
    expect(await reach(algorithmC, a)).toEqual(['', '']);
    expect(await counter(c, 'reject-not-of-task')).toBeGreaterThan(0);
    // Nothing of it has left the node.
    expect(await counter(b, 'drop-not-of-task')).toBe(before);
    const { refusals } = await c.client.describe();
    for (const protocol of KINDS)
      expect(refusals?.[RUN]).toContainEqual(
        expect.objectContaining({ side: 'sending', address: a.vpnAddress, port: PORT, protocol }),
      );
  });

  it('drops what a node of another task sends all the same, and passes it once that node takes part', async () => {
    // The sender's firewall lets it out: its node is in other hands.
    await c.client.applyRun(RUN, network(slotOf(c), [a], { task: 2 }));
    const before = await counter(a, 'drop-not-of-task');
    expect(await reach(algorithmC, a)).toEqual(['', '']);
    expect(await counter(a, 'drop-not-of-task')).toBeGreaterThan(before);
    const { refusals } = await a.client.describe();
    for (const protocol of KINDS)
      expect(refusals?.[RUN]).toContainEqual(
        expect.objectContaining({ side: 'receiving', address: c.vpnAddress, port: PORT, protocol }),
      );
    await a.client.applyRun(RUN, network(slotOf(a), [b, c]));
    expect(await reach(algorithmC, a)).toEqual(['marker', 'marker']);
    await asWanted();
  });

  it('lets nobody reach a port that is not declared, however much the sender may', async () => {
    const undeclared = b.vpnAddress;
    const allowed = KINDS.map((protocol) => ({ address: undeclared, protocol, port: SECOND }));
    const wide = network(slotOf(a), [b]);
    await a.client.applyRun(RUN, { ...wide, destinations: [...wide.destinations, ...allowed] });
    expect(await reach(algorithmA, b, SECOND)).toEqual(['', '']);
    expect(await reach(algorithmA, b)).toEqual(['marker', 'marker']);
    await asWanted();
    expect(await reach(algorithmA, b, 8888)).toEqual(['', '']);
  });

  it('keeps tasks of one node apart on the way over its own address, and lets a family meet', async () => {
    const other = SECOND;
    const second = network(slotOf(a, 1), [], { task: 3 }, other);
    await a.client.applyRun(RUN + 1, second);
    expect(await reach(algorithmA, a, other)).toEqual(['', '']);
    expect(await reach(neighbour, a)).toEqual(['', '']);
    const { refusals } = await a.client.describe();
    expect(refusals?.[RUN + 1]).toContainEqual(
      expect.objectContaining({ side: 'sending', address: a.vpnAddress, port: PORT }),
    );
    await a.client.applyRun(RUN + 1, { ...second, parent: 1 });
    expect(await reach(algorithmA, a, other)).toEqual(['marker', 'marker']);
    expect(await reach(neighbour, a)).toEqual(['marker', 'marker']);
    await asWanted();
    expect(await reach(neighbour, a)).toEqual(['', '']);
  });

  it('cuts an open flow when the peer leaves the task, and no other', async () => {
    await a.client.applyRun(RUN, network(slotOf(a), [b, c]));
    await c.client.applyRun(RUN, network(slotOf(c), [a], { task: 2 }));
    const leaving = await openFlow(algorithmC, `${a.vpnAddress}:${PORT}`, 'leaving');
    const staying = await openFlow(algorithmB, `${a.vpnAddress}:${PORT}`, 'staying');
    await a.client.applyRun(RUN, network(slotOf(a), [b]));
    expect(await leaving.say('after', 2000)).toBe(false);
    expect(await staying.say('after')).toBe(true);
    await leaving.close();
    const sent = await openFlow(algorithmA, `${b.vpnAddress}:${PORT}`, 'sent');
    await a.client.applyRun(RUN, { ...network(slotOf(a), [b]), destinations: [] });
    expect(await sent.say('after', 2000)).toBe(false);
    expect(await staying.say('once more')).toBe(true);
    await sent.close();
    await staying.close();
    await asWanted();
  });

  it('forgets with the run what it allowed, and tells what it refused', async () => {
    const slot = slotOf(c);
    expect(await reach(algorithmC, b)).toEqual(['', '']);
    await c.client.removeRun(RUN, slot.algorithm);
    const run = { algorithm: slot.algorithm, mappings: mappings(slot) };
    const refused = await c.client.takeRefusals(run);
    expect(refused).toContainEqual(
      expect.objectContaining({ side: 'sending', address: b.vpnAddress, port: PORT }),
    );
    expect(await c.client.takeRefusals(run)).toEqual([]);
    const table = (await c.client.describe()).rules;
    expect(table).not.toContain(`${slot.algorithm} .`);
    expect(table).not.toContain(`. ${slot.algorithm}`);
    await asWanted();
  });

  it('restores thousands of elements when the container starts again, before anybody tells it', async () => {
    const many = Array.from({ length: 3000 }, (_, at) => ({
      address: c.vpnAddress,
      protocol: KINDS[at % 2] ?? 'tcp',
      port: 1000 + at,
    }));
    const wide = network(slotOf(a), [b]);
    await a.client.applyRun(RUN, { ...wide, destinations: [...wide.destinations, ...many] });
    const elements = (): Promise<string> =>
      lab.shell(
        a.container,
        'for set in receiving sending; do nft list set inet v6client $set; done | tr "," "\\n" | grep -c " \\. "; nft list map inet v6client ports | grep -c 49152',
      );
    const before = await elements();
    expect(Number(before.split('\n')[0])).toBeGreaterThan(3000);
    await a.client.close();
    await lab.engine.containers.stop(a.container, 2);
    await lab.engine.containers.start(a.container);
    const isReady = 'test -e /run/v6/ready && echo yes';
    await until('the rules are there', 30_000, () => lab.shell(a.container, isReady));
    expect(await elements()).toBe(before);
    const again = createVpnClient(a.deps);
    await again.start(a.slots);
    a = { ...a, client: again };
    expect(await again.connect(a.config, connectOptions)).toMatchObject({ ok: true });
    await asWanted();
    await until('the flows pass', 10_000, async () =>
      (await reach(algorithmA, b)).every((answer) => answer === 'marker'),
    );
  });

  it.each([
    ['nft delete table inet v6client', /rules/],
    ['nft flush chain inet v6client through', /rules/],
    ['nft insert rule inet v6client through accept', /rules/],
    ['nft flush set inet v6client sending', /sending/],
    ['nft flush map inet v6client ports', /ports/],
    ['nft flush set inet v6client vpn', /vpn/],
    [
      "nft 'add element inet v6client receiving { 10.202.0.99 . 10.201.0.1 . tcp . 1 }'",
      /receiving/,
    ],
    ['ip route del blackhole 10.202.0.0/16 metric 4000', /routes/],
    ['ip addr flush dev tun0', /tun0/],
  ])('repairs after `%s`, and says what it found', async (damage, what) => {
    expect(await a.client.reconcile()).toEqual([]);
    await lab.shell(a.container, damage);
    const drift = await a.client.reconcile();
    expect(drift.map((one) => one.what).join()).toMatch(what);
    expect(await a.client.reconcile()).toEqual([]);
    expect(await reach(algorithmA, b)).toEqual(['marker', 'marker']);
    expect(await reach(algorithmC, a)).toEqual(['', '']);
  });

  /** A connection that stays open; `say` tells whether the word came back. */
  async function openFlow(container: string, to: string, name: string) {
    const command = ['socat', '-T', '60', '-', `TCP:${to},connect-timeout=3`];
    const shell = await lab.engine.containers.openStream(container, command);
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

/** A run at this slot whose family has a run on each of these nodes, with the same ports. */
function network(
  slot: Slot,
  others: readonly LabNode[],
  more: Partial<RunNetwork> = {},
  tunnelPort = slot.index === 0 ? PORT : SECOND,
): RunNetwork {
  return {
    task: 1,
    parent: null,
    algorithm: slot.algorithm,
    mappings: mappings(slot, tunnelPort),
    peers: others.map(({ vpnAddress }) => vpnAddress),
    destinations: others.flatMap(({ vpnAddress: address }) =>
      KINDS.map((protocol) => ({ address, protocol, port: PORT })),
    ),
    ...more,
  };
}

function mappings(slot: Slot, tunnelPort = PORT): RunNetwork['mappings'] {
  return KINDS.map((protocol) => ({
    protocol,
    tunnelPort,
    address: slot.algorithm,
    port: 8888,
    label: null,
  }));
}
