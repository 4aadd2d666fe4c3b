import { beforeEach, describe, expect, it } from 'vitest';
import { V6Error } from '../../../../src/core/errors.ts';
import { type Logger, silentLogger } from '../../../../src/core/logger.ts';
import type { Cidr, Ipv4 } from '../../../../src/core/net/ipv4.ts';
import { DESTINATIONS_MAX, type LocalRun } from '../../../../src/node/family/family-member.ts';
import { READ_EVERY_MS, TaskFamilies } from '../../../../src/node/family/task-families.ts';
import { FakeCoordinator } from '../../../fakes/coordinator.ts';
import { ManualClock, settled } from '../../../fakes/manual-clock.ts';
import { FakeVpnClient } from '../../../fakes/vpn-client.ts';

const SELF = 3;
const local: LocalRun = {
  run: 1,
  task: 10,
  parent: 9,
  algorithm: '10.205.0.3' as Ipv4,
  mappings: [],
};
const at = (node: number, more: { task?: number; ports?: readonly number[] } = {}) => ({
  run: node * 100,
  task: more.task ?? 10,
  node,
  address: `10.206.0.${node}`,
  ports: (more.ports ?? []).map((port) => ({ port, protocol: 'tcp' as const })),
});

describe('the families of the runs of a node', () => {
  let server: FakeCoordinator;
  let vpn: FakeVpnClient;
  let clock: ManualClock;
  let families: TaskFamilies;
  let life: AbortController;
  let warnings: string[];

  beforeEach(() => {
    server = new FakeCoordinator();
    vpn = new FakeVpnClient();
    clock = new ManualClock();
    life = new AbortController();
    warnings = [];
    const write = (): void => undefined;
    const logger: Logger = {
      debug: write,
      info: write,
      warn: (text) => void warnings.push(text),
      error: write,
    };
    families = new TaskFamilies(
      { server: server.family, vpn, self: SELF, vpnSubnet: '10.206.0.0/16' as Cidr, clock, logger },
      life.signal,
    );
    return () => life.abort(new Error('over'));
  });

  const peers = (run = 1) => vpn.networks.get(run)?.peers;
  const destinations = (run = 1) => vpn.networks.get(run)?.destinations.map(({ port }) => port);

  it('are own task, parent and children, of all nodes but this one', async () => {
    server.elsewhere.push(at(4), at(5, { task: 9 }), at(6, { task: 11 }), at(7, { task: 12 }));
    server.elsewhere.push(at(SELF));
    server.children.set(10, [11]);
    await families.join(local);
    expect(peers()).toEqual(['10.206.0.4', '10.206.0.5', '10.206.0.6']);
  });

  it('are told to who asks what a run may do', async () => {
    server.elsewhere.push(at(4, { ports: [50_001] }));
    await families.join(local);
    expect(families.describe()).toMatchObject([
      {
        run: 1,
        task: 10,
        ports: local.mappings.map(({ label, protocol, port, tunnelPort }) => ({
          label,
          protocol,
          port,
          tunnelPort,
        })),
        peers: ['10.206.0.4'],
        destinations: [{ address: '10.206.0.4', port: 50_001 }],
      },
    ]);
    families.leave(1);
    expect(families.describe()).toEqual([]);
  });

  it('allow the ports that are registered; without a protocol both', async () => {
    server.elsewhere.push(at(4, { ports: [50_001] }), {
      ...at(5),
      ports: [{ port: 50_002, protocol: undefined }],
    });
    await families.join(local);
    expect(vpn.networks.get(1)?.destinations).toEqual([
      { address: '10.206.0.4', protocol: 'tcp', port: 50_001 },
      { address: '10.206.0.5', protocol: 'tcp', port: 50_002 },
      { address: '10.206.0.5', protocol: 'udp', port: 50_002 },
    ]);
  });

  it('leave addresses outside the VPN out, and say so once', async () => {
    server.elsewhere.push({ ...at(4), address: '169.254.169.254' }, { ...at(5), address: null });
    await families.join(local);
    expect(peers()).toEqual([]);
    await clock.turn(READ_EVERY_MS);
    await settled();
    expect(warnings).toHaveLength(1);
  });

  it('are bounded, with a warning', async () => {
    const ports = Array.from({ length: DESTINATIONS_MAX + 5 }, (_, index) => index + 1);
    server.elsewhere.push(at(4, { ports }));
    await families.join(local);
    expect(destinations()).toHaveLength(DESTINATIONS_MAX);
    expect(warnings[0]).toContain('too large');
  });

  it('are read again by the clock, and nothing is read when no run is left', async () => {
    await families.join(local);
    await settled();
    server.elsewhere.push(at(4));
    await clock.turn(READ_EVERY_MS);
    await settled();
    expect(peers()).toEqual(['10.206.0.4']);
    families.leave(1);
    await settled();
    const before = server.journal.length;
    await clock.turn(10 * READ_EVERY_MS);
    await settled();
    expect(server.journal).toHaveLength(before);
  });

  it('are read at once on a hint about them, and not on others', async () => {
    await families.join(local);
    await settled();
    server.elsewhere.push(at(4));
    const before = server.journal.length;
    families.hint({ task: 77, parent: 78 });
    families.onStatus({ task_id: 10, parent_id: 9, node_id: SELF, status: 'active' });
    for (const status of ['initializing', 'active'])
      families.onStatus({ task_id: 10, parent_id: 9, node_id: 4, status });
    // A sibling: another child of the parent.
    families.hint({ task: 13, parent: 9 });
    await settled();
    expect(server.journal).toHaveLength(before);
    families.onStatus({ task_id: 10, parent_id: 9, node_id: 4, status: 'completed' });
    await settled();
    expect(peers()).toEqual(['10.206.0.4']);
    await clock.turn(1000);
    server.elsewhere.length = 0;
    families.onAddressChange(4);
    await settled();
    expect(peers()).toEqual([]);
  });

  it('are all read by the clock, however often something is heard of one of them', async () => {
    await families.join(local);
    await families.join({ ...local, run: 2, task: 20, parent: null });
    await settled();
    server.elsewhere.push(at(4, { task: 20 }));
    for (let turn = 0; turn < 6; turn += 1) {
      families.hint({ task: 10, parent: 9 });
      await clock.turn(READ_EVERY_MS / 2);
      await settled();
    }
    expect(peers(2)).toEqual(['10.206.0.4']);
  });

  it('are all read by the clock, also while one of them cannot be read', async () => {
    await families.join(local);
    await families.join({ ...local, run: 2, task: 20, parent: null });
    await settled();
    const openRuns = server.family.openRuns.bind(server.family);
    Object.assign(server.family, {
      openRuns: async (task: number, signal: AbortSignal) => {
        if (task === 10) throw new V6Error('V6_SERVER_ANSWER', 'no list');
        return openRuns(task, signal);
      },
    });
    await clock.turn(READ_EVERY_MS);
    await settled();
    server.elsewhere.push(at(4, { task: 20 }));
    for (let turn = 0; turn < 6; turn += 1) {
      await clock.turn(30_000);
      await settled();
    }
    expect(peers(2)).toEqual(['10.206.0.4']);
  });

  it('are read again soon after a machine has slept in the middle of a reading', async () => {
    await families.join(local);
    await settled();
    const openRuns = server.family.openRuns.bind(server.family);
    let sleepMs = 8 * 3_600_000;
    Object.assign(server.family, {
      openRuns: async (task: number, signal: AbortSignal) => {
        const turned = clock.turn(sleepMs);
        sleepMs = 0;
        await turned;
        return openRuns(task, signal);
      },
    });
    await clock.turn(READ_EVERY_MS);
    await settled();
    server.elsewhere.push(at(4));
    for (let turn = 0; turn < 12; turn += 1) await clock.turn(60_000);
    await settled();
    expect(peers()).toEqual(['10.206.0.4']);
  });

  it('are read once for all runs of a task', async () => {
    await families.join(local);
    await families.join({ ...local, run: 2, algorithm: '10.205.0.11' as Ipv4 });
    await settled();
    server.journal.length = 0;
    await clock.turn(READ_EVERY_MS);
    await settled();
    expect(server.journal.toSorted()).toEqual(['children 10', 'family 10', 'family 9']);
  });

  it('stay as they were while the server is away, and a run starts all the same', async () => {
    server.elsewhere.push(at(4));
    await families.join(local);
    await settled();
    server.isAway = true;
    server.elsewhere.length = 0;
    await clock.turn(READ_EVERY_MS);
    await settled();
    expect(peers()).toEqual(['10.206.0.4']);
    await families.join({ ...local, run: 2 });
    expect(peers(2)).toEqual([]);
    server.isAway = false;
    server.elsewhere.push(at(5));
    for (let turn = 0; turn < 5; turn += 1) {
      await clock.turn(30_000);
      await settled();
    }
    expect([peers(1), peers(2)]).toEqual([['10.206.0.5'], ['10.206.0.5']]);
  });

  it('keep the address of a node whose tunnel is down for a while, unless another node has it', async () => {
    server.elsewhere.push(at(4, { ports: [50_000] }), at(5));
    await families.join(local);
    await settled();
    const read = async (): Promise<void> => {
      // The pause after a reading, and the time until the next.
      await clock.turn(1000);
      await clock.turn(READ_EVERY_MS);
      await settled();
    };
    server.elsewhere.splice(0, 2, { ...at(4, { ports: [50_000] }), address: null }, at(5));
    await read();
    expect(peers()?.toSorted()).toEqual(['10.206.0.4', '10.206.0.5']);
    expect(destinations()).toEqual([50_000]);
    // It has its run, and nobody has seen its tunnel for more than a minute.
    for (let turn = 0; turn < 7; turn += 1) await read();
    expect(peers()).toEqual(['10.206.0.5']);
    server.elsewhere.splice(0, 2, { ...at(5), address: null }, { ...at(6), address: '10.206.0.5' });
    await read();
    expect(peers()).toEqual(['10.206.0.5']);
    expect(vpn.networks.get(1)?.peers).toHaveLength(1);
    // The run of node 5 ended: nothing of it is kept.
    server.elsewhere.length = 0;
    await read();
    expect(peers()).toEqual([]);
  });

  it('take what an algorithm is told at once, until a later reading knows better', async () => {
    await families.join(local);
    await settled();
    const told = { address: '10.206.0.4' as Ipv4, protocol: 'tcp', port: 50_000 } as const;
    await families.learn(1, [told, { ...told, address: '192.0.2.1' as Ipv4 }]);
    expect(vpn.networks.get(1)?.destinations).toEqual([told]);
    const applied = vpn.journal.length;
    await families.learn(1, [told]);
    expect(vpn.journal).toHaveLength(applied);
    await clock.turn(READ_EVERY_MS);
    await settled();
    expect(destinations()).toEqual([]);
  });

  it('take nothing on the own node from an answer: no reading would list it', async () => {
    vpn.up('10.206.0.3');
    await families.join(local);
    await settled();
    const applied = vpn.journal.length;
    await families.learn(1, [{ address: '10.206.0.3' as Ipv4, protocol: 'tcp', port: 50_000 }]);
    expect(vpn.journal).toHaveLength(applied);
    expect(destinations()).toEqual([]);
  });

  it('confirm only what is theirs of an answer that may list others', async () => {
    await families.join(local);
    await settled();
    server.elsewhere.push(at(4, { ports: [50_000] }));
    await families.confirm(1, [
      { address: '10.206.0.4' as Ipv4, protocol: 'tcp', port: 50_000 },
      { address: '10.206.0.8' as Ipv4, protocol: 'tcp', port: 50_001 },
    ]);
    expect(destinations()).toEqual([50_000]);
  });

  it('are asked for again before an answer that needs them is passed on', async () => {
    await families.join(local);
    await settled();
    server.elsewhere.push(at(4, { ports: [50_000] }));
    server.isAway = true;
    const told = { address: '10.206.0.4' as Ipv4, protocol: 'tcp', port: 50_000 } as const;
    const confirmed = families.confirm(1, [told]);
    await settled();
    server.isAway = false;
    await clock.turn(1000);
    await confirmed;
    expect(destinations()).toEqual([50_000]);
  });

  it('keep an answer back that needs them while the server stays away', async () => {
    await families.join(local);
    await settled();
    server.isAway = true;
    const told = { address: '10.206.0.4' as Ipv4, protocol: 'tcp', port: 50_000 } as const;
    const confirmed = families.confirm(1, [told]).catch((error: unknown) => error);
    for (let turn = 0; turn < 5; turn += 1) await clock.turn(1000);
    expect(await confirmed).toMatchObject({ code: 'V6_SERVER_UNREACHABLE' });
  });

  it('hold no answer up for a run that has left meanwhile', async () => {
    await families.join(local);
    await settled();
    server.isAway = true;
    const told = { address: '10.206.0.4' as Ipv4, protocol: 'tcp', port: 50_000 } as const;
    const confirmed = families.confirm(1, [told]);
    await settled();
    families.leave(1);
    for (let turn = 0; turn < 2; turn += 1) await clock.turn(1000);
    await confirmed;
    expect(vpn.networks.get(1)?.destinations).toEqual([]);
  });

  it('hold no answer up that needs them when the server refuses to tell', async () => {
    await families.join(local);
    await settled();
    const refusal = new V6Error('V6_SERVER_REFUSED', 'no', { details: { status: 403 } });
    Object.assign(server.family, { openRuns: () => Promise.reject(refusal) });
    const told = { address: '10.206.0.4' as Ipv4, protocol: 'tcp', port: 50_000 } as const;
    await families.confirm(1, [told]);
    expect(destinations()).toEqual([]);
  });

  it('are read once a second at most for questions about other tasks, and all of them are answered', async () => {
    await families.join(local);
    await settled();
    server.journal.length = 0;
    const stranger = { address: '10.206.0.8' as Ipv4, protocol: 'tcp', port: 1 } as const;
    let answered = 0;
    const ask = async (): Promise<void> => {
      void families.confirm(1, [stranger]).then(() => {
        answered += 1;
      });
      await settled();
    };
    for (let question = 0; question < 3; question += 1) await ask();
    const readings = (): number => server.journal.filter((line) => line === 'family 10').length;
    expect([readings(), answered]).toEqual([1, 1]);
    // Those that wait share the next: the last of many is not to wait for minutes, with its answer in our memory.
    await clock.turn(1000);
    expect([readings(), answered]).toEqual([2, 3]);
    await ask();
    expect([readings(), answered]).toEqual([2, 3]);
    await clock.turn(1000);
    expect([readings(), answered]).toEqual([3, 4]);
  });

  it('apply nothing for a run that has left', async () => {
    const joining = families.join(local);
    families.leave(1);
    await joining;
    expect(vpn.networks.size).toBe(0);
    await families.learn(1, [{ address: '10.206.0.4' as Ipv4, protocol: 'tcp', port: 1 }]);
    expect(vpn.networks.size).toBe(0);
  });

  it('try again when the rules could not be applied', async () => {
    await families.join(local);
    await settled();
    server.elsewhere.push(at(4));
    vpn.failNext('applyRun', 'V6_FIREWALL_APPLY');
    await clock.turn(READ_EVERY_MS);
    await settled();
    expect(peers()).toEqual([]);
    await clock.turn(1000);
    await settled();
    expect(peers()).toEqual(['10.206.0.4']);
  });

  it('hold what an algorithm is told for allowed only when the rules have it', async () => {
    await families.join(local);
    await settled();
    const told = { address: '10.206.0.4' as Ipv4, protocol: 'tcp', port: 50_000 } as const;
    vpn.failNext('applyRun', 'V6_FIREWALL_APPLY');
    await expect(families.learn(1, [told])).rejects.toMatchObject({ code: 'V6_FIREWALL_APPLY' });
    await families.learn(1, [told]);
    expect(destinations()).toEqual([50_000]);
    const other = { ...told, port: 50_001 };
    const turn = Promise.withResolvers<void>();
    const apply = vpn.applyRun.bind(vpn);
    vpn.applyRun = async (run, network) => {
      await turn.promise;
      await apply(run, network);
    };
    let answered = 0;
    const ask = (): Promise<void> =>
      families.learn(1, [other]).then(() => {
        answered += 1;
      });
    const asked = [ask(), ask()];
    await settled();
    expect(answered).toBe(0);
    turn.resolve();
    await Promise.all(asked);
    expect(destinations()).toEqual([50_000, 50_001]);
  });

  it('hold nothing for allowed that a failed change may have taken away', async () => {
    const told = { address: '10.206.0.4' as Ipv4, protocol: 'tcp', port: 50_000 } as const;
    server.elsewhere.push(at(4, { ports: [50_000] }));
    await families.join(local);
    await settled();
    server.elsewhere.length = 0;
    vpn.failNext('applyRun', 'V6_FIREWALL_APPLY');
    await clock.turn(READ_EVERY_MS);
    await settled();
    server.elsewhere.push(at(4, { ports: [50_000] }));
    const turn = Promise.withResolvers<void>();
    const apply = vpn.applyRun.bind(vpn);
    vpn.applyRun = async (run, network) => {
      await turn.promise;
      await apply(run, network);
    };
    await clock.turn(1000);
    await settled();
    let isAnswered = false;
    const asked = families.learn(1, [told]).then(() => {
      isAnswered = true;
    });
    await settled();
    expect(isAnswered).toBe(false);
    turn.resolve();
    await asked;
    expect(destinations()).toEqual([50_000]);
  });

  it('are not set back by a reading that began before another and ended after it', async () => {
    await families.join(local);
    await settled();
    const late = Promise.withResolvers<void>();
    const openRuns = server.family.openRuns.bind(server.family);
    let readings = 0;
    Object.assign(server.family, {
      openRuns: async (task: number, signal: AbortSignal) => {
        const found = await openRuns(task, signal);
        readings += 1;
        if (readings === 1) await late.promise;
        return found;
      },
    });
    await clock.turn(READ_EVERY_MS);
    await settled();
    server.elsewhere.push(at(4, { ports: [50_000] }));
    await families.confirm(1, [{ address: '10.206.0.4' as Ipv4, protocol: 'tcp', port: 50_000 }]);
    expect(destinations()).toEqual([50_000]);
    late.resolve();
    await settled();
    expect(destinations()).toEqual([50_000]);
  });

  it('are nobody without a VPN, and that is known at once', async () => {
    const deps = { server: server.family, vpn, self: SELF, vpnSubnet: undefined, clock };
    families = new TaskFamilies({ ...deps, logger: silentLogger }, life.signal);
    await families.join(local);
    for (let turn = 0; turn < 5; turn += 1) {
      await clock.turn(1000);
      await settled();
    }
    expect(vpn.journal).toEqual(['map 1']);
    expect(vpn.networks.get(1)).not.toHaveProperty('isUnread');
    expect(server.journal).toEqual([]);
  });
});
