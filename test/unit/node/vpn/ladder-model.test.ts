import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { V6Error } from '../../../../src/core/errors.ts';
import { silentLogger } from '../../../../src/core/logger.ts';
import { type Ipv4, parseCidr } from '../../../../src/core/net/ipv4.ts';
import type { TunnelFailure, TunnelOutcome } from '../../../../src/core/vpn/tunnel.ts';
import { createLadder } from '../../../../src/node/vpn/ladder.ts';
import {
  FakeCoordinatorVpn,
  FakeCredentialStore,
  FakeTunnel,
  failure,
} from '../../../fakes/ladder-world.ts';
import { ManualClock, settled } from '../../../fakes/manual-clock.ts';
import { makePair, type Pair, portalFile } from '../../../support/client-files.ts';

const HOUR_MS = 3_600_000;
let good: Pair;
let other: Pair;
beforeAll(async () => {
  good = await makePair(new Date('2035-01-01T00:00:00Z'));
  other = await makePair(new Date('2036-01-01T00:00:00Z'));
});

/** What waits for an answer, oldest first; how many waited at once at most. */
class Gate {
  most = 0;
  passed = 0;
  #waiting: (() => void)[] = [];

  async wait(): Promise<void> {
    this.passed += 1;
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      this.most = Math.max(this.most, this.#waiting.length);
    });
  }

  /** False when nobody waits. */
  open(): boolean {
    const next = this.#waiting.shift();
    next?.();
    return next !== undefined;
  }
}

class SlowTunnel extends FakeTunnel {
  gate = new Gate();
  next: () => TunnelOutcome = () => ({ ok: true, address: '10.76.0.5' as Ipv4 });

  override async connect(clientConfig: string): Promise<TunnelOutcome> {
    await this.gate.wait();
    this.answers = [this.next()];
    return super.connect(clientConfig);
  }
}

class SlowCoordinator extends FakeCoordinatorVpn {
  gate = new Gate();

  override async fetchClientConfig(): Promise<string> {
    await this.gate.wait();
    return super.fetchClientConfig();
  }

  override async renewClientConfig(): Promise<string> {
    await this.gate.wait();
    return super.renewClientConfig();
  }

  override async releaseLease(): Promise<void> {
    await this.gate.wait();
    return super.releaseLease();
  }
}

type Step =
  | { readonly ask: 'connect' | 'disconnect' | 'renew' | 'force' | 'replace' | 'release' }
  /** One of those that wait gets its answer. */
  | { readonly answer: true }
  /** What happens to the tunnel by itself, if openvpn runs. */
  | { readonly tunnel: 'reconnects' | 'returns' }
  | { readonly fails: TunnelFailure['code'] }
  /** From now on connections end so; undefined: well. */
  | { readonly vpn: TunnelFailure['code'] | undefined; readonly definite: boolean }
  /** From now on the server answers so; undefined: with a new file. */
  | { readonly portal: V6Error['code'] | undefined }
  | { readonly turnMs: number };

const TUNNEL_CODES = [
  'V6_VPN_CERTIFICATE_REFUSED',
  'V6_VPN_CERTIFICATE_EXPIRED',
  'V6_VPN_SERVER_UNREACHABLE',
  'V6_VPN_SUBNET_MISMATCH',
  'V6_VPN_CIPHER_MISMATCH',
  'V6_VPN_NO_DATA',
] as const;
const PORTAL_CODES = [
  'V6_PORTAL_UNREACHABLE',
  'V6_PORTAL_QUOTA',
  'V6_PORTAL_TOKEN',
  'V6_SERVER_UNREACHABLE',
  'V6_VPN_REVOKED',
] as const;

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    ask: fc.constantFrom('connect', 'disconnect', 'renew', 'force', 'replace', 'release'),
  }),
  { weight: 3, arbitrary: fc.constant<Step>({ answer: true }) },
  fc.record({ tunnel: fc.constantFrom('reconnects', 'returns') }),
  fc.record({ fails: fc.constantFrom(...TUNNEL_CODES) }),
  fc.record({
    vpn: fc.option(fc.constantFrom(...TUNNEL_CODES), { nil: undefined }),
    definite: fc.boolean(),
  }),
  fc.record({ portal: fc.option(fc.constantFrom(...PORTAL_CODES), { nil: undefined }) }),
  fc.record({ turnMs: fc.constantFrom(1000, 30_000, 300_000) }),
);

function makeWorld(isStored: boolean) {
  const clock = new ManualClock();
  const gate = new Gate();
  const tunnel = new SlowTunnel();
  const vpn = new SlowCoordinator(() => portalFile(other));
  // One gate for both: whoever waits there is at work, and only one may be.
  tunnel.gate = gate;
  vpn.gate = gate;
  const credentials = new FakeCredentialStore(isStored ? portalFile(good) : undefined);
  const ladder = createLadder({
    vpnClient: tunnel,
    vpn,
    credentials,
    subnet: parseCidr('10.76.0.0/16', 'vpn_subnet'),
    clock,
    logger: silentLogger,
    resolve: async () => ['192.0.2.7' as Ipv4],
  });
  return { clock, gate, tunnel, vpn, credentials, ladder };
}

type World = ReturnType<typeof makeWorld>;

function ask({ ladder }: World, what: Extract<Step, { ask: unknown }>['ask']): Promise<unknown> {
  if (what === 'connect') return ladder.connect();
  if (what === 'disconnect') return ladder.disconnect();
  if (what === 'release') return ladder.release();
  return what === 'replace' ? ladder.replace() : ladder.renew(what === 'force');
}

function tunnelHappens(
  world: World,
  what: Extract<Step, { tunnel: unknown } | { fails: unknown }>,
) {
  const { tunnel, clock } = world;
  // Where no openvpn runs, nothing happens by itself.
  if (tunnel.tunnel().kind === 'off') return;
  const since = clock.now();
  if ('fails' in what) tunnel.become({ kind: 'failed', since, failure: failure(what.fails) });
  else if (what.tunnel === 'reconnects') tunnel.become({ kind: 'connecting', since });
  else tunnel.become({ kind: 'connected', since, address: '10.76.0.9' as Ipv4 });
}

async function take(world: World, one: Step): Promise<void> {
  // Answered some time later, or never where the test ends before.
  if ('ask' in one) void ask(world, one.ask).catch(() => undefined);
  else if ('answer' in one) world.gate.open();
  else if ('turnMs' in one) await world.clock.turn(one.turnMs);
  else if ('portal' in one) {
    const { portal } = one;
    const give = (): string => {
      if (portal !== undefined) throw new V6Error(portal, `said ${portal}`);
      return portalFile(other);
    };
    world.vpn.onFetch = give;
    world.vpn.onRenew = give;
  } else if ('vpn' in one) {
    const { vpn: code, definite } = one;
    world.tunnel.next = () =>
      code === undefined
        ? { ok: true, address: '10.76.0.5' as Ipv4 }
        : { ok: false, failure: failure(code, definite) };
  } else tunnelHappens(world, one);
}

/** Answers everybody until nobody waits any more, without turning the clock. */
async function settle({ gate }: World): Promise<void> {
  await settled();
  for (let i = 0; i < 1000 && gate.open(); i += 1) await settled();
}

async function play(isStored: boolean, steps: readonly Step[]) {
  const world = makeWorld(isStored);
  const stop = new AbortController();
  void world.ladder.run(stop.signal).catch(() => undefined);
  for (const one of steps) {
    await take(world, one);
    await settled();
  }
  return { world, stop };
}

const steps = fc.array(step, { maxLength: 25 });
const RUNS = { numRuns: 100 } as const;

describe('the ladder of a node, over random orders of requests and events', () => {
  it('does one thing at a time, answers every request, and says of the tunnel what is true', async () => {
    await fc.assert(
      fc.asyncProperty(fc.boolean(), steps, async (isStored, played) => {
        const { world, stop } = await play(isStored, played);
        await settle(world);
        expect(world.gate.most).toBeLessThanOrEqual(1);
        const verdict = world.ladder.verdict();
        const tunnel = world.tunnel.tunnel();
        expect(verdict.state === 'connected').toBe(tunnel.kind === 'connected');
        if (tunnel.kind === 'connected') expect(verdict.vpnAddress).toBe(tunnel.address);
        else expect(verdict.vpnAddress).toBeNull();
        if (verdict.state === 'disconnected') expect(tunnel.kind).toBe('off');
        stop.abort(new Error('end'));
      }),
      RUNS,
    );
  }, 120_000);

  it('stays down after a disconnect or a release until somebody asks', async () => {
    const last = fc.constantFrom<Step>({ ask: 'disconnect' }, { ask: 'release' });
    await fc.assert(
      fc.asyncProperty(fc.boolean(), steps, last, async (isStored, played, end) => {
        const { world, stop } = await play(isStored, [...played, end]);
        await settle(world);
        const before = world.gate.passed;
        expect(world.ladder.verdict().state).toBe('disconnected');
        expect(world.tunnel.tunnel().kind).toBe('off');
        for (let hours = 0; hours < 4; hours += 1) {
          await world.clock.turn(HOUR_MS);
          await settle(world);
        }
        expect(world.gate.passed).toBe(before);
        expect(world.clock.nextMs).toBeUndefined();
        const isReleased = 'ask' in end && end.ask === 'release';
        if (isReleased) expect(world.credentials.text).toBeUndefined();
        stop.abort(new Error('end'));
      }),
      RUNS,
    );
  }, 120_000);

  it('tries without end and within bounds, whatever keeps failing', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.boolean(),
        steps,
        fc.constantFrom(...TUNNEL_CODES),
        fc.constantFrom(...PORTAL_CODES),
        async (isStored, played, code, portal) => {
          const broken: Step[] = [
            { vpn: code, definite: true },
            { portal },
            { ask: 'force' },
            { fails: code },
          ];
          const { world, stop } = await play(isStored, [...played, ...broken]);
          await settle(world);
          const calls = world.vpn.calls.length;
          const end = world.clock.now().getTime() + HOUR_MS;
          let attempts = 0;
          while (world.clock.now().getTime() < end) {
            const pauseMs = world.clock.nextMs;
            // A tunnel that works after all, or that openvpn itself is at, needs no attempt.
            if (pauseMs === undefined) break;
            await world.clock.turn(pauseMs);
            await settle(world);
            attempts += 1;
          }
          // Pauses double from 3 s to a minute: 65 attempts in an hour, of at most two calls each.
          expect(attempts).toBeLessThanOrEqual(70);
          expect(world.vpn.calls.length - calls).toBeLessThanOrEqual(140);
          if (world.ladder.verdict().state === 'without') expect(world.clock.nextMs).toBeDefined();
          stop.abort(new Error('end'));
        },
      ),
      RUNS,
    );
  }, 120_000);
});
