import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { NodeConfig } from '../../../src/core/config/node-config.ts';
import { V6Error } from '../../../src/core/errors.ts';
import { silentLogger } from '../../../src/core/logger.ts';
import type { Ipv4 } from '../../../src/core/net/ipv4.ts';
import type { Verdict } from '../../../src/core/protocol/daemon.ts';
import type { Remote } from '../../../src/core/vpn/tunnel.ts';
import { type DaemonDeps, NodeDaemon } from '../../../src/node/daemon.ts';
import type { NetworkChoice } from '../../../src/node/interfaces/host-view.ts';
import { SlotProxy } from '../../../src/node/proxy/slot-proxy.ts';
import type { CredentialLadder } from '../../../src/node/vpn/ladder.ts';
import { DISCONNECTED_VERDICT, TRYING_VERDICT } from '../../../src/node/vpn/verdict.ts';
import { FakeCoordinator } from '../../fakes/coordinator.ts';
import { FakeEngine } from '../../fakes/engine.ts';
import { FakeHostFirewall } from '../../fakes/host-firewall.ts';
import { keyPair, publicKeyOf } from '../../fakes/key-pairs.ts';
import { ManualClock, settled } from '../../fakes/manual-clock.ts';
import { nodeConfig } from '../../fakes/node-world.ts';
import { FakePins } from '../../fakes/pins.ts';
import { FakeRunFiles } from '../../fakes/run-files.ts';
import { FakeVpnClient } from '../../fakes/vpn-client.ts';
import { type TempFolder, tempFolder } from '../../support/temp-folder.ts';

const CONNECTED: Verdict = {
  ...TRYING_VERDICT,
  state: 'connected',
  rung: 'existing',
  vpnAddress: '10.206.0.5',
};
const signal = new AbortController().signal;

/** A ladder that does what the test says. */
class FakeLadder implements CredentialLadder {
  current = TRYING_VERDICT;
  finish: (verdict: Verdict) => void = () => {};
  readonly renewals: boolean[] = [];
  readonly #listeners: ((verdict: Verdict) => void)[] = [];

  run(until: AbortSignal): Promise<Verdict> {
    return new Promise((resolve, reject) => {
      until.addEventListener('abort', () => reject(until.reason as Error));
      this.finish = (verdict) => {
        this.current = verdict;
        for (const listener of this.#listeners) listener(verdict);
        resolve(verdict);
      };
    });
  }
  async renew(force: boolean): Promise<Verdict> {
    this.renewals.push(force);
    return this.current;
  }
  verdict(): Verdict {
    return this.current;
  }
  onVerdict(listener: (verdict: Verdict) => void): void {
    this.#listeners.push(listener);
  }
  replace(): Promise<Verdict> {
    return this.renew(true);
  }
  async disconnect(): Promise<Verdict> {
    this.current = DISCONNECTED_VERDICT;
    return this.current;
  }
  release(): Promise<Verdict> {
    return this.disconnect();
  }
  async connect(): Promise<Verdict> {
    return this.current;
  }
  certificate(): { notBefore: Date; notAfter: Date } {
    return {
      notBefore: new Date('2029-12-31T00:00:00Z'),
      notAfter: new Date('2031-01-01T00:00:00Z'),
    };
  }
  lastError(): undefined {
    return undefined;
  }
}

let temp: TempFolder;
beforeEach(async () => {
  temp = await tempFolder();
});
afterEach(() => temp.remove());

function world(config: Partial<NodeConfig> = {}, changes: Partial<DaemonDeps> = {}) {
  const engine = new FakeEngine({ images: ['echo:1'] });
  const coordinator = new FakeCoordinator();
  const vpn = new FakeVpnClient();
  const firewall = new FakeHostFirewall();
  const ladder = new FakeLadder();
  const clock = new ManualClock();
  const files = new FakeRunFiles();
  const controls: string[] = [];
  let choice: NetworkChoice | undefined;
  let onRemotes: ((remotes: readonly Remote[]) => Promise<void>) | undefined;
  const upstream = {
    forward: () => Promise.reject(new V6Error('V6_SERVER_UNREACHABLE', 'not in this test')),
  };
  const proxy = new SlotProxy(upstream, silentLogger, { folder: path.join(temp.path, 'proxy') });
  const deps: DaemonDeps = {
    context: { name: 'alpha', scope: 'user' },
    config: nodeConfig(config),
    engine: {
      containers: engine.containers,
      images: engine.images,
      networks: vpn.seenIn(engine.networks),
      info: () => engine.info(),
      events: (labels, until) => engine.events(labels, until),
    },
    coordinator,
    firewall,
    host: {
      routes: async () => [],
      listeningPorts: async () => undefined,
      addresses: () => ['127.0.0.1', '192.168.1.1'],
    },
    choices: {
      find: async () => choice,
      save: async (next) => {
        choice = next;
      },
    },
    files,
    proxy,
    clock,
    logger: silentLogger,
    createVpnClient: () => vpn,
    hasTun: async () => true,
    createLadder: (_client, listener) => {
      onRemotes = listener;
      return ladder;
    },
    serveControl: async () => {
      controls.push('open');
      return {
        close: async () => {
          controls.push('closed');
        },
      };
    },
    ...changes,
  };
  const daemon = new NodeDaemon(deps, { loginLimitMs: 3000 });
  const settle = async () => {
    for (let i = 0; i < 12; i += 1) await settled();
  };
  const remotes = (list: readonly Remote[]) => onRemotes?.(list);
  return {
    daemon,
    engine,
    coordinator,
    vpn,
    firewall,
    ladder,
    clock,
    files,
    controls,
    settle,
    remotes,
  };
}

describe('the daemon', () => {
  it('starts without waiting for the VPN, runs tasks after the verdict, and undoes everything', async () => {
    const { daemon, engine, coordinator, vpn, firewall, ladder, settle, controls } = world();
    const run = coordinator.add({ image: 'echo:1' });
    await daemon.start(signal);
    await settle();
    expect(daemon.status()).toMatchObject({
      node: { id: 3, name: 'alpha', organization: 2, collaboration: 1 },
      vpn: { state: 'trying' },
      slots: { total: 2, busy: 0 },
      runs: [{ run: run.id, state: 'waiting for the VPN' }],
    });
    expect(engine.held().containers).toEqual([]);
    vpn.up('10.206.0.5');
    ladder.finish(CONNECTED);
    await settle();
    expect(coordinator.address).toBe('10.206.0.5');
    expect(engine.held().containers).toEqual([`vantage6-alpha-run-${run.id}`]);
    expect(daemon.status().vpn).toMatchObject({
      state: 'connected',
      certificateExpiresAt: '2031-01-01T00:00:00.000Z',
    });
    expect([...firewall.owners.keys()]).toEqual(['user/alpha']);
    await daemon.stop();
    await daemon.stop();
    expect(run).toMatchObject({ status: 'failed', ends: 1 });
    expect(coordinator.address).toBeNull();
    expect(coordinator.handlers).toBeUndefined();
    expect(engine.held()).toEqual({ containers: [], networks: [] });
    expect(vpn.isRunning).toBe(false);
    expect(firewall.owners.size).toBe(0);
    expect(controls).toEqual(['open', 'closed']);
  });

  it('starts runs after a minute when the ladder still has no verdict', async () => {
    const { daemon, coordinator, clock, settle } = world();
    const run = coordinator.add({ image: 'echo:1' });
    await daemon.start(signal);
    await settle();
    await clock.turn(60_000);
    await settle();
    expect(run.status).toBe('active');
    expect(run.log).toMatch(/tunnel of this node is down/);
    await daemon.stop();
  });

  it('has its ladder off without vpn_subnet, and warns where the host has no tun device', async () => {
    const off = world({ vpnSubnet: undefined });
    await off.daemon.start(signal);
    expect(await off.daemon.verdict(1000)).toMatchObject({ state: 'off', warning: null });
    await off.daemon.stop();
    const without = world({}, { hasTun: async () => false });
    await without.daemon.start(signal);
    expect(await without.daemon.verdict(1000)).toMatchObject({
      state: 'without',
      portalCalls: 0,
      warning: { code: 'V6_NET_TUN_MISSING' },
    });
    const run = without.coordinator.add({ image: 'echo:1' });
    without.coordinator.handlers?.onNewTask({ id: run.task.id, parent_id: null });
    await without.settle();
    expect(run.status).toBe('active');
    await without.daemon.stop();
  });

  it('opens the guard for remotes on this very host, and for no others', async () => {
    const { daemon, firewall, remotes } = world();
    await daemon.start(signal);
    const local = { address: '192.168.1.1' as Ipv4, port: 1194, protocol: 'udp' } as const;
    await remotes([local, { ...local, address: '203.0.113.9' as Ipv4 }]);
    expect(firewall.owners.get('user/alpha')?.localRemotes).toEqual([local]);
    await daemon.stop();
  });

  it('waits for the verdict as long as it is asked to', async () => {
    const { daemon, clock, ladder, settle } = world();
    await daemon.start(signal);
    const early = daemon.verdict(500);
    await clock.turn(500);
    expect(await early).toMatchObject({ state: 'trying' });
    const late = daemon.verdict(60_000);
    ladder.finish(CONNECTED);
    await settle();
    expect(await late).toMatchObject({ state: 'connected' });
    await daemon.renew(true);
    expect(ladder.renewals).toEqual([true]);
    await daemon.stop();
  });

  it('shows its networks with the runs in them', async () => {
    const { daemon, coordinator, ladder, settle } = world();
    const run = coordinator.add({ image: 'echo:1' });
    await daemon.start(signal);
    ladder.finish({ ...CONNECTED, state: 'without', vpnAddress: null });
    await settle();
    const shown = await daemon.network();
    expect(shown.uplink).toBe('v6a-user-alpha');
    expect(shown.slots[0]).toMatchObject({ network: 'v6z-user-alpha-0', run: run.id });
    expect(shown.hostRules).toContain('user/alpha');
    await daemon.stop();
  });

  it('reads the open runs again by itself', async () => {
    const { daemon, coordinator, clock, ladder, settle } = world();
    await daemon.start(signal);
    ladder.finish({ ...CONNECTED, state: 'without', vpnAddress: null });
    await settle();
    const run = coordinator.add({ image: 'echo:1' });
    await clock.turn(60_000);
    await settle();
    expect(run.status).toBe('active');
    await daemon.stop();
  });
});

describe('a daemon whose engine goes away for good', () => {
  it('ends, tells the runs that end with it, and leaves all else to the next start', async () => {
    const { promise: isLost, resolve: lose } = Promise.withResolvers<void>();
    const it = world({}, { untilEngineIsLost: () => isLost });
    const { daemon, engine, coordinator, vpn, firewall, ladder, settle } = it;
    const run = coordinator.add({ image: 'echo:1' });
    await daemon.start(signal);
    vpn.up('10.206.0.5');
    ladder.finish(CONNECTED);
    await settle();
    const held = engine.held();
    expect(held.containers).toHaveLength(1);
    const waiting = daemon.untilInterrupted(signal);
    engine.goAway();
    lose();
    await expect(waiting).rejects.toMatchObject({ code: 'V6_ENGINE_MISSING' });
    await daemon.stop();
    expect(run).toMatchObject({ status: 'failed', ends: 1 });
    expect(run.log).toContain('engine was stopped');
    engine.comeBack();
    expect(engine.held()).toEqual(held);
    expect([...firewall.owners.keys()]).toEqual(['user/alpha']);
  });
});

describe('a daemon that cannot start', () => {
  it('says that the key is refused, and leaves nothing', async () => {
    const { daemon, coordinator, engine } = world();
    coordinator.refusesKey = true;
    await expect(daemon.start(signal)).rejects.toMatchObject({ code: 'V6_AUTH_API_KEY' });
    expect(engine.held()).toEqual({ containers: [], networks: [] });
  });

  it('gives up on a server that is away, after its limit', async () => {
    const { daemon, coordinator, clock } = world();
    coordinator.isAway = true;
    const start = daemon.start(signal);
    const failed = expect(start).rejects.toMatchObject({ code: 'V6_SERVER_UNREACHABLE' });
    for (let i = 0; i < 4; i += 1) await clock.turn(1000);
    await failed;
  });

  it.each([
    [true, false],
    [false, true],
  ])(
    'refuses to start when it and the collaboration disagree about encryption (node %s, collaboration %s)',
    async (encrypted, joint) => {
      const { daemon, coordinator } = world({ encrypted });
      coordinator.identity = { ...coordinator.identity, encrypted: joint };
      await expect(daemon.start(signal)).rejects.toMatchObject({
        code: 'V6_NODE_ENCRYPTION_MISMATCH',
      });
    },
  );

  describe('in an encrypted collaboration', () => {
    const encryptedWorld = () => {
      const made = world(
        { encrypted: true },
        {
          encryption: {
            privateKey: keyPair('own').key,
            pins: new FakePins(),
            rules: { pinned: new Map(), trustOnFirstUse: true, trustCommand: 'trust' },
          },
        },
      );
      made.coordinator.identity = { ...made.coordinator.identity, encrypted: true };
      return made;
    };

    it('registers its public key, runs tasks, and notices when the server swaps the key', async () => {
      const { daemon, coordinator, clock, settle } = encryptedWorld();
      coordinator.setKey(2, '', 'North');
      await daemon.start(signal);
      expect(coordinator.known.get(2)?.publicKey).toBe(publicKeyOf('own'));
      expect(daemon.status().encryption).toMatchObject({ ownKey: 'registered', refused: [] });
      coordinator.setKey(2, publicKeyOf('other'));
      await clock.turn(300_000);
      await settle();
      expect(daemon.status().encryption).toMatchObject({ ownKey: 'replaced' });
      await daemon.stop();
    });

    it('does not start, and replaces nothing, when the server has another key', async () => {
      const { daemon, coordinator, engine } = encryptedWorld();
      coordinator.setKey(2, publicKeyOf('other'), 'North');
      await expect(daemon.start(signal)).rejects.toMatchObject({ code: 'V6_ENCRYPTION_OWN_KEY' });
      expect(coordinator.known.get(2)?.publicKey).toBe(publicKeyOf('other'));
      expect(engine.held()).toEqual({ containers: [], networks: [] });
    });
  });

  it.each(['V6_IMAGE_NOT_FOUND', 'V6_ENGINE_REQUEST'] as const)(
    'undoes what it did when the VPN client fails with %s',
    async (code) => {
      const { daemon, vpn, engine, firewall } = world();
      vpn.failNext('start', code);
      await expect(daemon.start(signal)).rejects.toMatchObject({ code });
      expect(engine.held()).toEqual({ containers: [], networks: [] });
      expect(firewall.owners.size).toBe(0);
    },
  );

  it('undoes what it did when the host rules cannot be applied', async () => {
    const { daemon, engine, firewall } = world();
    firewall.failure = 'V6_FIREWALL_APPLY';
    await expect(daemon.start(signal)).rejects.toMatchObject({ code: 'V6_FIREWALL_APPLY' });
    expect(engine.held().networks).toEqual([]);
  });

  it('ends a stop with what could not be undone, and undoes it with the next', async () => {
    const { daemon, engine } = world();
    await daemon.start(signal);
    engine.failAt('networks.remove', 1, 'V6_ENGINE_REQUEST');
    await expect(daemon.stop()).rejects.toThrow(/Not everything could be undone: slots/);
    await daemon.stop();
    expect(engine.held().networks).toEqual([]);
  });
});
