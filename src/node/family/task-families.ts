import type { Clock } from '../../core/clock.ts';
import { toV6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { type Cidr, containsAddress } from '../../core/net/ipv4.ts';
import type { DaemonRunNetwork } from '../../core/protocol/daemon.ts';
import type { AlgorithmStatusChange } from '../../core/protocol/events.ts';
import { type Destination, isFamily } from '../../core/vpn/task-firewall.ts';
import type { CoordinatorFamily } from '../interfaces/coordinator.ts';
import type { VpnClient } from '../interfaces/vpn-client.ts';
import { hasServerFailed, isServerAway, untilAnswered } from '../server-patience.ts';
import { FamilyMember, type LocalRun, NOBODY } from './family-member.ts';
import { type FamilyOf, FamilyReader } from './family-reading.ts';
import { KnownAddresses } from './known-addresses.ts';

export interface TaskFamiliesDeps {
  readonly server: CoordinatorFamily;
  readonly vpn: Pick<VpnClient, 'applyRun' | 'tunnel'>;
  /** Id of this node. */
  readonly self: number;
  /** Undefined: the VPN is off, and no family is read. */
  readonly vpnSubnet: Cidr | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A run that has not ended: who takes part was known when the task was made, and its addresses come with their answer. */
const OPEN: ReadonlySet<string> = new Set(['pending', 'initializing', 'active']);
/** Hints can get lost: every family is read again this often while one of its runs lives here, ms. */
export const READ_EVERY_MS = 10_000;
/** Where a reading takes long, of a thousand runs or from a server under load, this many times its duration. */
const READ_EVERY_DURATIONS = 40;
/** A machine that slept in the middle of a reading is not to rest for days, ms. */
const LONGEST_REST_MS = 600_000;
/** On hints, readings take a fifth of the time at most, and never come closer than this, ms. */
const LEAST_PAUSE_MS = 200;
const PAUSE_DURATIONS = 4;
const LONGEST_PAUSE_MS = 60_000;
/** Between two readings that questions of one algorithm cause, ms. */
const CONFIRM_EVERY_MS = 1000;
/** Its algorithm waits while such a reading is tried again: with the pauses between, less than two seconds. */
const CONFIRM_PATIENCE_MS = 1000;
const FIRST_BACK_OFF_MS = 500;
const LONGEST_BACK_OFF_MS = 30_000;

/**
 * Keeps the task firewall of this node's runs in step with their families: which nodes take part, and which ports they have
 * registered. The truth is read from the server, once for all runs of a family; hints say when. While the server is away the
 * last that was known stays.
 */
export class TaskFamilies {
  readonly #deps: TaskFamiliesDeps;
  readonly #life: AbortSignal;
  readonly #members = new Map<number, FamilyMember>();
  readonly #known: KnownAddresses;
  #isWatching = false;
  #nap = new AbortController();
  /** Counts readings and answers, so that it is known which of two is newer. */
  #serial = 0;

  constructor(deps: TaskFamiliesDeps, life: AbortSignal) {
    this.#deps = deps;
    this.#known = new KnownAddresses(deps.clock);
    this.#life = life;
  }

  /**
   * Reads the run's family at once, and puts it and the run's ports into the rules as soon as `ready` resolves; resolves when they
   * hold. A family that cannot be read now is read later: then the run starts with nobody allowed. Throws V6_FIREWALL_APPLY,
   * V6_VPN_CLIENT_FAILED, and what `ready` rejects with.
   */
  async join(local: LocalRun, ready: Promise<unknown> = Promise.resolve()): Promise<void> {
    const member = new FamilyMember(local);
    this.#members.set(local.run, member);
    const reading = this.#read([member]).catch((error: unknown) => this.#sayUnread(error));
    await Promise.all([ready, reading]);
    await this.#apply(member);
    this.#watch();
  }

  /** Nothing is applied for the run from here on; its rules are removed by the caller. */
  leave(run: number): void {
    const member = this.#members.get(run);
    if (member !== undefined) member.hasLeft = true;
    this.#members.delete(run);
    if (this.#members.size === 0) this.#nap.abort(new Error('no run is left'));
  }

  /** What each live run has in the rules, or will have in a moment. */
  describe(): readonly DaemonRunNetwork[] {
    return [...this.#members].map(([run, member]) => {
      const { task, mappings, peers, destinations } = member.network();
      const ports = mappings.map(({ label, protocol, port, tunnelPort }) => ({
        label,
        protocol,
        port,
        tunnelPort,
      }));
      return { run, task, ports, peers, destinations };
    });
  }

  /** Another node's run has ended. */
  onStatus(
    change: Pick<AlgorithmStatusChange, 'task_id' | 'parent_id' | 'node_id' | 'status'>,
  ): void {
    const { task_id: task, parent_id: parent, node_id: node, status } = change;
    if (node !== this.#deps.self && !OPEN.has(status)) this.hint({ task, parent });
  }

  /** A node has another tunnel address: one of those that take part here, perhaps. */
  onAddressChange(node: number): void {
    if (node !== this.#deps.self) this.hint();
  }

  /** Something may have changed for the family of a task; without one, for any. */
  hint(of?: FamilyOf): void {
    let isConcerned = false;
    for (const member of this.#members.values()) {
      if (of !== undefined && !isFamily(member.local, of)) continue;
      member.isDirty = true;
      isConcerned = true;
    }
    if (isConcerned) this.#nap.abort(new Error('something may have changed'));
  }

  /**
   * What the server has just told the algorithm of a run about its family: allowed when this resolves. Throws what
   * `VpnClient.applyRun` throws.
   */
  async learn(run: number, destinations: readonly Destination[]): Promise<void> {
    const member = this.#members.get(run);
    if (member === undefined) return;
    const news = this.#elsewhere(destinations).filter((one) => !member.isAllowed(one));
    if (news.length === 0) return;
    this.#serial += 1;
    member.learn(news, this.#serial);
    await this.#apply(member);
  }

  /**
   * The algorithm of a run has been told of these addresses by an answer that is not limited to its family: those that its family
   * has are allowed when this resolves. A server that does not answer is asked again for a moment. Throws what it says in the end,
   * and what `VpnClient.applyRun` throws; where it refuses to tell of the family, what was known of it stays.
   */
  async confirm(run: number, destinations: readonly Destination[]): Promise<void> {
    const member = this.#members.get(run);
    if (member === undefined) return;
    if (this.#elsewhere(destinations).every((one) => member.isAllowed(one))) return;
    member.nextConfirmation ??= this.#confirmNext(member);
    await member.nextConfirmation;
  }

  /**
   * One reading for all who ask until it begins, and one a second at most: an algorithm that asks about other tasks again and again
   * is not to make this node do the same three times over, nor to fill it with answers that wait.
   */
  #confirmNext(member: FamilyMember): Promise<void> {
    const turn = member.confirmations.then(async () => {
      member.nextConfirmation = undefined;
      if (member.hasLeft) return;
      await this.#readForAnswer(member);
      await this.#apply(member);
    });
    const pause = (): Promise<void> => this.#pause(CONFIRM_EVERY_MS);
    member.confirmations = turn.then(pause, pause);
    return turn;
  }

  async #readForAnswer(member: FamilyMember): Promise<void> {
    const since = this.#now();
    const isUnsure = (error: unknown): boolean =>
      !member.hasLeft && (isServerAway(error) || hasServerFailed(error));
    const read = (): Promise<void> => this.#read([member]);
    const isWorthAsking = (error: unknown): boolean =>
      isUnsure(error) && this.#now() - since < CONFIRM_PATIENCE_MS;
    try {
      await untilAnswered(this.#deps, 'family of a task', this.#life, read, isWorthAsking);
    } catch (error) {
      if (isUnsure(error)) throw error;
      this.#sayUnread(error);
    }
  }

  /** What lies on other nodes: no reading lists the own node, whose ports follow from its live runs. */
  #elsewhere(destinations: readonly Destination[]): readonly Destination[] {
    const { vpn, vpnSubnet } = this.#deps;
    if (vpnSubnet === undefined) return [];
    const tunnel = vpn.tunnel();
    const own = tunnel.kind === 'connected' ? tunnel.address : undefined;
    return destinations.filter(
      ({ address }) => address !== own && containsAddress(vpnSubnet, address),
    );
  }

  async #read(members: readonly FamilyMember[]): Promise<void> {
    const { server, self, vpnSubnet: subnet } = this.#deps;
    this.#serial += 1;
    const at = this.#serial;
    for (const member of members) member.isDirty = false;
    if (subnet === undefined) {
      for (const member of members) member.take(NOBODY, at);
      return;
    }
    const reader = new FamilyReader(server, this.#known, this.#life);
    const readings = members.map(async (member) => {
      try {
        const reading = await reader.read(member.local, { self, subnet, known: member.children });
        member.take(reading, at);
        this.#sayWhatIsLeftOut(member, reading.strangers);
      } catch (error) {
        member.isDirty = true;
        throw error;
      }
    });
    const failed = (await Promise.allSettled(readings)).find(({ status }) => status === 'rejected');
    if (failed?.status === 'rejected') throw failed.reason;
  }

  async #apply(member: FamilyMember): Promise<void> {
    if (member.hasLeft) return;
    const network = member.network();
    try {
      await this.#deps.vpn.applyRun(member.local.run, network);
      member.applied(network);
    } catch (error) {
      // The next reading tries again; a run that has ended meanwhile is nobody's concern.
      member.isDirty = true;
      member.notApplied(network);
      if (!member.hasLeft) throw error;
    }
  }

  #watch(): void {
    if (this.#isWatching) return;
    this.#isWatching = true;
    void this.#watchAll().finally(() => {
      this.#isWatching = false;
      if (this.#members.size > 0 && !this.#life.aborted) this.#watch();
    });
  }

  async #watchAll(): Promise<void> {
    let backOffMs = FIRST_BACK_OFF_MS;
    // Hints about one family, or one that cannot be read, put the turn of the others off no further.
    let turn = { at: this.#now(), restMs: READ_EVERY_MS };
    while (this.#members.size > 0 && !this.#life.aborted) {
      const since = this.#now();
      const restedMs = since - turn.at;
      // A clock that was set back tells nothing.
      const isTurn = restedMs >= turn.restMs || restedMs < 0;
      const members = [...this.#members.values()].filter(({ isDirty }) => isTurn || isDirty);
      if (members.length === 0) {
        await this.#rest(turn.restMs - restedMs);
        continue;
      }
      const isDone = await this.#readAndApply(members);
      const tookMs = this.#now() - since;
      if (isTurn) turn = { at: this.#now(), restMs: restAfter(tookMs) };
      const pauseMs = Math.max(PAUSE_DURATIONS * tookMs, LEAST_PAUSE_MS);
      await this.#pause(isDone ? Math.min(pauseMs, LONGEST_PAUSE_MS) : backOffMs);
      backOffMs = isDone ? FIRST_BACK_OFF_MS : Math.min(backOffMs * 2, LONGEST_BACK_OFF_MS);
    }
  }

  async #readAndApply(members: readonly FamilyMember[]): Promise<boolean> {
    let isDone = true;
    try {
      await this.#read(members);
    } catch (error) {
      this.#sayUnread(error);
      isDone = false;
    }
    for (const member of members) {
      try {
        await this.#apply(member);
      } catch (error) {
        isDone = false;
        this.#deps.logger.warn('The rules of a run could not be brought up to date', {
          run: member.local.run,
          code: toV6Error(error).code,
          error,
        });
      }
    }
    return isDone;
  }

  /** Until the time is over, or something came up. */
  async #rest(ms: number): Promise<void> {
    this.#nap = new AbortController();
    if ([...this.#members.values()].some(({ isDirty }) => isDirty)) return;
    const signal = AbortSignal.any([this.#life, this.#nap.signal]);
    await this.#deps.clock.sleep(ms, signal).catch(() => undefined);
  }

  #now(): number {
    return this.#deps.clock.now().getTime();
  }

  async #pause(ms: number): Promise<void> {
    await this.#deps.clock.sleep(ms, this.#life).catch(() => undefined);
  }

  #sayUnread(error: unknown): void {
    if (this.#life.aborted) return;
    this.#deps.logger.info('The family of a task could not be read; what was known of it stays', {
      code: toV6Error(error).code,
      error,
    });
  }

  #sayWhatIsLeftOut(member: FamilyMember, strangers: readonly string[]): void {
    const { run, task } = member.local;
    if (member.hasWarned || (strangers.length === 0 && !member.isOverfull)) return;
    member.hasWarned = true;
    if (strangers.length > 0)
      this.#deps.logger.warn('Nodes of a task have addresses outside vpn_subnet; left out', {
        run,
        task,
        addresses: strangers.slice(0, 5).join(', '),
      });
    if (member.isOverfull)
      this.#deps.logger.warn(
        'The family of a task is too large for the rules; the rest is left out',
        {
          run,
          task,
        },
      );
  }
}

function restAfter(tookMs: number): number {
  return Math.min(Math.max(READ_EVERY_DURATIONS * tookMs, READ_EVERY_MS), LONGEST_REST_MS);
}
