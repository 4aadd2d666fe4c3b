import { V6Error } from '../../core/errors.ts';
import type { Ipv4 } from '../../core/net/ipv4.ts';
import {
  type ClientElements,
  elementsOf,
  NO_ELEMENTS,
  planElements,
  together,
} from '../../core/vpn/client-elements.ts';
import {
  compareElements,
  compareRoutes,
  compareRules,
  compareVpn,
  type Difference,
  parseSurvey,
} from '../../core/vpn/client-survey.ts';
import {
  type Cut,
  cutsOf,
  renderChange,
  renderCuts,
  renderFill,
  renderWhole,
  type Transaction,
} from '../../core/vpn/client-transaction.ts';
import { forgetRefusals, refusalsOf } from '../../core/vpn/refusals.ts';
import { CLIENT_TABLE } from '../../core/vpn/rules.ts';
import type {
  AddressPlan,
  Destination,
  Refusal,
  RunNetwork,
} from '../../core/vpn/task-firewall.ts';
import type { Remote } from '../../core/vpn/tunnel.ts';
import type { CommandStream } from './command-stream.ts';
import { isLostStream } from './command-stream.ts';
import { applyFailure } from './failures.ts';
import type { StateFolder } from './state-folder.ts';

export interface ClientRulesDeps extends AddressPlan {
  readonly folder: Pick<StateFolder, 'saveElements' | 'readElements'>;
  /** Runs a command in the container; it is made when it runs, so that it fits what a new stream has applied. */
  readonly run: (command: () => string) => Promise<readonly string[]>;
}

/**
 * The rules of one VPN client: what is wanted, on disk and in the kernel. Every change is one transaction, computed from what
 * was applied last; all of it is applied when that is not known. Methods are called one at a time.
 */
export class ClientRules {
  readonly #deps: ClientRulesDeps;
  readonly #runs = new Map<number, RunNetwork>();
  #remotes: readonly Remote[] = [];
  #wanted: ClientElements = NO_ELEMENTS;
  /** What the state files hold; undefined when that is not known. */
  #saved: ClientElements | undefined;
  /** What the container has; undefined when that is not known. */
  #applied: ClientElements | undefined;
  /** Flows that are no longer allowed and may still be open. */
  #cuts: readonly Cut[] = [];
  /** Algorithms that have ended, with all their flows. */
  #flushes: readonly Ipv4[] = [];
  /** Of runs that outlived an earlier daemon and have not joined anew: what it had for them stays until then. `alive`: those that have joined, too. */
  #inherited = {
    algorithms: new Set<string>(),
    alive: new Set<string>(),
    elements: NO_ELEMENTS,
  };

  constructor(deps: ClientRulesDeps) {
    this.#deps = deps;
  }

  /** Throws V6_FIREWALL_APPLY; then all is as before, but for what the run is no longer allowed: that is taken away all the same. */
  async setRun(run: number, network: RunNetwork): Promise<void> {
    const { algorithm, isUnread = false } = network;
    const isInherited = !isUnread && this.#inherited.algorithms.has(algorithm);
    const before = this.#runs.get(run);
    await this.#change(
      `the rules of run ${run}`,
      () => {
        if (isInherited) this.#inherited.algorithms.delete(algorithm);
        this.#runs.set(run, network);
      },
      () => {
        if (isInherited) this.#inherited.algorithms.add(algorithm);
        if (before === undefined) this.#runs.delete(run);
        else this.#runs.set(run, allowedByBoth(before, network));
      },
    );
  }

  /**
   * Cuts all flows of the algorithm as well, without looking for them one by one: they outlive their element, and its address is
   * another run's next.
   */
  async removeRun(run: number, algorithm: Ipv4): Promise<void> {
    this.disinherit(algorithm);
    this.#runs.delete(run);
    this.#wanted = this.#plan();
    this.#flushes = [...this.#flushes, algorithm];
    // From here on it is not wanted any more, whatever fails now: the next change or check takes it away.
    try {
      await this.#save(this.#wanted);
    } finally {
      await this.#apply();
    }
  }

  /** The run that had this address is over, however it ended. */
  disinherit(algorithm: Ipv4): void {
    this.#inherited.algorithms.delete(algorithm);
    this.#inherited.alive.delete(algorithm);
  }

  get remotes(): readonly Remote[] {
    return this.#remotes;
  }

  async setRemotes(remotes: readonly Remote[]): Promise<void> {
    const before = this.#remotes;
    await this.#change(
      'the addresses of the VPN server',
      () => {
        this.#remotes = remotes;
      },
      () => {
        this.#remotes = before;
      },
    );
  }

  /**
   * Before the container starts: what it restores. `remotes`: of the client config that is there. `busy`: addresses of algorithms
   * that outlived an earlier daemon.
   */
  async prepare(remotes: readonly Remote[], busy: readonly Ipv4[]): Promise<void> {
    this.#remotes = remotes;
    const algorithms = new Set<string>(busy);
    const held = algorithms.size === 0 ? NO_ELEMENTS : await this.#deps.folder.readElements();
    this.#inherited = { algorithms, alive: new Set(busy), elements: held };
    this.#wanted = this.#plan();
    await this.#save(this.#wanted);
  }

  /** Makes all of it hold over a new stream, whatever is there. */
  async applyAll(stream: CommandStream): Promise<void> {
    this.#applied = undefined;
    const wanted = this.#wanted;
    try {
      await stream.run(apply(renderWhole(wanted), this.#cutting()));
    } catch (error) {
      if (isLostStream(error)) throw error;
      await stream.run(load(renderFill(wanted), this.#cutting()));
    }
    this.#done(wanted);
  }

  /** Compares what is there with what is wanted and repairs it; resolves with what differed. `tunnel`: its address, when it is up. */
  async reconcile(tunnel: () => Ipv4 | undefined): Promise<readonly Difference[]> {
    const before = tunnel();
    const survey = parseSurvey(await this.#deps.run(() => 'survey'));
    // A tunnel that changed meanwhile is looked at again: an old address would stay on tun0 beside the new one.
    const address = tunnel() === before ? before : undefined;
    const wanted = this.#wanted;
    const routes = compareRoutes(survey, this.#deps.vpnSubnet, address);
    const rules = [...compareRules(survey), ...compareVpn(survey, this.#deps.vpnSubnet)];
    const elements = rules.length > 0 ? [] : compareElements(survey.elements, wanted);
    if (routes.length > 0) await this.#deps.run(() => routeCommand(survey.tunnel, address));
    // Flows that could not be ended when their run did are not seen as a difference.
    if (rules.length > 0 || elements.length > 0 || this.#cutting() !== '') {
      // What somebody opened has been used, perhaps.
      const cuts = cutsOf(survey.elements, wanted);
      this.#cuts = [...this.#cuts, ...cuts];
      this.#applied = undefined;
      if (rules.length > 0) await this.#deps.run(() => load(renderFill(wanted), this.#cutting()));
      else await this.#deps.run(() => apply(renderWhole(wanted), this.#cutting()));
      this.#done(wanted);
    }
    return [...routes, ...rules, ...elements];
  }

  /** What was refused to runs that live now, by run. `table`: text of `nft list table`. */
  refusals(table: string, address: Ipv4 | undefined): Readonly<Record<number, readonly Refusal[]>> {
    const named = { runs: [...this.#runs.values()], own: address };
    return Object.fromEntries(
      [...this.#runs].flatMap(([run, network]) => {
        const refused = refusalsOf(table, network, named);
        return refused.length === 0 ? [] : [[run, refused]];
      }),
    );
  }

  async takeRefusals(
    network: Pick<RunNetwork, 'algorithm' | 'mappings'>,
    address: Ipv4 | undefined,
  ): Promise<readonly Refusal[]> {
    const list = `nft list set ${CLIENT_TABLE} refused_in; nft list set ${CLIENT_TABLE} refused_out`;
    const table = (await this.#deps.run(() => list)).join('\n');
    const forget = forgetRefusals(table, network.algorithm);
    // An element may have expired just now; nothing else depends on it.
    if (forget.length > 0) await this.#deps.run(() => `${feed(forget)} | nft -f - || :`);
    return refusalsOf(table, network, { runs: [...this.#runs.values()], own: address });
  }

  /** `undo` is called when it failed, and allows nothing that is not allowed before and after. */
  async #change(what: string, edit: () => void, undo: () => void): Promise<void> {
    const before = { wanted: this.#wanted, cuts: this.#cuts };
    edit();
    try {
      const wanted = this.#plan();
      await this.#save(wanted);
      this.#cuts = [...this.#cuts, ...cutsOf(before.wanted, wanted)];
      this.#wanted = wanted;
      await this.#apply();
    } catch (error) {
      undo();
      this.#wanted = this.#plan();
      const cuts = cutsOf(before.wanted, this.#wanted);
      this.#cuts = [...before.cuts, ...cuts];
      this.#applied = undefined;
      try {
        await this.#save(this.#wanted);
      } finally {
        // What fails here again is left to the next change or check, as to a new stream: it is not wanted any more.
        if (cuts.length > 0 && !isLostStream(error)) await this.#apply().catch(() => undefined);
      }
      throw applyFailure(what, error);
    }
  }

  async #save(elements: ClientElements): Promise<void> {
    const before = this.#saved;
    this.#saved = undefined;
    await this.#deps.folder.saveElements(elements, before);
    this.#saved = elements;
  }

  async #apply(): Promise<void> {
    const wanted = this.#wanted;
    const command = (): string =>
      apply(
        this.#applied === undefined ? renderWhole(wanted) : renderChange(this.#applied, wanted),
        this.#cutting(),
      );
    try {
      if (command() === '') return;
      await this.#deps.run(() => command() || ':');
    } catch (error) {
      this.#applied = undefined;
      if (isLostStream(error) || !(error instanceof V6Error)) throw error;
      // Somebody has been at the sets, or the table is gone: all of it anew.
      await this.#deps.run(() => load(renderFill(wanted), this.#cutting()));
    }
    this.#done(wanted);
  }

  #done(wanted: ClientElements): void {
    this.#applied = wanted;
    this.#cuts = [];
    this.#flushes = [];
  }

  /** What ends the flows that must end, as one command. */
  #cutting(): string {
    const cuts = this.#cuts.length === 0 ? [] : [`${feed(renderCuts(this.#cuts))} | cut`];
    return [...cuts, ...this.#flushes.map((algorithm) => `flush ${algorithm}`)].join(' && ');
  }

  #plan(): ClientElements {
    const { isolatedRange, vpnSubnet } = this.#deps;
    const own = planElements({
      isolatedRange,
      vpnSubnet,
      remotes: this.#remotes,
      runs: this.#runs,
    });
    const { algorithms, alive, elements } = this.#inherited;
    if (algorithms.size === 0) return own;
    // Hairpins between one that has joined and one that has not are known to neither of the two plans.
    const sending = [...elementsOf(elements, alive).sending].filter(([key]) =>
      key.split(' . ', 2).some((address) => algorithms.has(address)),
    );
    return together(own, { ...elementsOf(elements, algorithms), sending: new Map(sending) });
  }
}

function allowedByBoth(before: RunNetwork, after: RunNetwork): RunNetwork {
  const peers = new Set(after.peers);
  const destinations = new Set(after.destinations.map(destinationText));
  return {
    ...before,
    peers: before.peers.filter((peer) => peers.has(peer)),
    destinations: before.destinations.filter((one) => destinations.has(destinationText(one))),
  };
}

function destinationText({ address, protocol, port }: Destination): string {
  return `${address} ${protocol} ${port}`;
}

/** Lines as what a pipe carries: a builtin of the shell, so there is no limit of an argument's length. Its text holds no quote. */
function feed(lines: readonly string[]): string {
  return `printf '%s\\n' ${lines.map((line) => `'${line}'`).join(' ')}`;
}

/** A device that is gone takes openvpn's end of it along: the next openvpn takes the new one. */
function routeCommand(tunnel: readonly string[] | undefined, address: Ipv4 | undefined): string {
  if (address === undefined) return 'vpn_routes';
  return tunnel === undefined ? 'vpn_device && vpn_replace' : `vpn_routes ${address}`;
}

function apply(transaction: Transaction, cutting: string): string {
  const change = transaction.length === 0 ? '' : `${feed(transaction)} | nft -f -`;
  return [change, cutting].filter((part) => part !== '').join(' && ');
}

function load(transaction: Transaction, cutting: string): string {
  const change = transaction.length === 0 ? 'load_rules' : `${feed(transaction)} | load_rules`;
  return [change, cutting].filter((part) => part !== '').join(' && ');
}
