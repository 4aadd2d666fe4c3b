import type { Clock } from '../../core/clock.ts';
import type { Engine } from '../../core/engine/engine.ts';
import { toV6Error, V6Error } from '../../core/errors.ts';
import { isOurBridge } from '../../core/labels.ts';
import type { Logger } from '../../core/logger.ts';
import { ACCEPT_CHAIN } from '../../core/net/accept-rules.ts';
import { GUARD_TABLE } from '../../core/net/guard.ts';
import { type DecidedPlan, planHost } from '../../core/net/host-plan.ts';
import type {
  HostConflict,
  HostFirewallView,
  HostPlan,
  HostRules,
} from '../../core/net/host-rules.ts';
import type { HostState } from '../../core/net/host-state.ts';
import { NAT_TABLE } from '../../core/net/masquerade.ts';
import type { Aim, HostWrite } from '../../core/net/plan-part.ts';
import type { Drift } from '../interfaces/drift.ts';
import type {
  HostFirewall,
  HostPart,
  HostRulesRecord,
  HostRulesRecords,
} from '../interfaces/host-firewall.ts';
import type { HostContainer } from './host-container.ts';
import { HostShell, isLostShell, type RunOnHost } from './host-shell.ts';
import { viewHost } from './host-view.ts';
import { HostWatch } from './host-watch.ts';
import { LegacyNeeded, readHost } from './read-host.ts';

export interface HostFirewallDeps {
  readonly engine: Pick<Engine, 'containers' | 'info'>;
  readonly container: HostContainer;
  /** Where the node keeps what it put on the host; absent: nowhere, for who only looks or removes. */
  readonly records?: HostRulesRecords | undefined;
  readonly clock: Clock;
  readonly logger?: Logger | undefined;
}

/** The host's firewall through a container on its network. */
export function createHostFirewall(deps: HostFirewallDeps): HostFirewall {
  return new ContainerHostFirewall(deps);
}

class ContainerHostFirewall implements HostFirewall {
  readonly #deps: HostFirewallDeps;
  readonly #shell: HostShell;
  readonly #watch: HostWatch;
  readonly #warned = new Set<string>();
  /** Said once. */
  #isOptionalMissing = false;
  #last: HostRules | undefined;
  /** One was seen. */
  #hasOurBridges = false;

  constructor(deps: HostFirewallDeps) {
    this.#deps = deps;
    this.#shell = new HostShell(deps);
    this.#watch = new HostWatch(deps);
  }

  async inspect(): Promise<HostFirewallView> {
    const wanted = this.#last ?? (await this.recorded())?.wanted;
    return this.#session('session', wanted, (run, state) => viewHost(run, state, wanted));
  }

  plan(wanted: HostRules): Promise<HostPlan> {
    return this.#decide({ owner: wanted.owner, wanted }).then(({ plan }) => plan);
  }

  planUndo(owner: string): Promise<HostPlan> {
    return this.#decide({ owner, wanted: undefined }).then(({ plan }) => plan);
  }

  async apply(wanted: HostRules): Promise<HostPlan> {
    this.#last = wanted;
    const { plan, failure } = await this.#change({ owner: wanted.owner, wanted });
    this.#warnOf(plan.conflicts);
    if (failure !== undefined) throw failure;
    return plan;
  }

  async undo(owner: string): Promise<HostPlan> {
    this.#last = undefined;
    const { plan, failure } = await this.#change({ owner, wanted: undefined });
    if (failure !== undefined) throw failure;
    await this.#deps.records?.remove();
    return plan;
  }

  async reconcile(wanted: HostRules): Promise<readonly Drift[]> {
    this.#last = wanted;
    const aim = { owner: wanted.owner, wanted };
    // Without the lock: one change makes every node of the host look.
    const seen = await this.#decide(aim);
    this.#warnOf(seen.plan.conflicts);
    if (seen.faults.length === 0) return [];
    const { faults, failure } = await this.#change(aim);
    const by = this.#watch.lastAuthor();
    return faults.map((found) => ({
      what: 'rules on the host',
      found,
      wanted: 'the rules that the node put there',
      ...(by === undefined ? {} : { by }),
      ...(failure === undefined ? {} : { failure }),
    }));
  }

  watch(onChange: (hint: string, of: HostPart) => void, signal: AbortSignal): void {
    this.#watch.start(onChange, signal);
  }

  async links(): Promise<ReadonlySet<string> | undefined> {
    try {
      const names = (await this.#shell.session((run) => run('ls /sys/class/net'))).split('\n');
      this.#hasOurBridges ||= names.some(isOurBridge);
      return this.#hasOurBridges ? new Set(names) : undefined;
    } catch {
      // The check of the rules, which asks in the same way, tells why.
      return undefined;
    }
  }

  async recorded(): Promise<HostRulesRecord | undefined> {
    return this.#deps.records?.find();
  }

  close(): Promise<void> {
    return this.#shell.close();
  }

  #decide(aim: Aim): Promise<DecidedPlan> {
    return this.#session('session', aim.wanted, async (_, state) => planHost(state, aim));
  }

  /** Read, decide and write as one: between the first and the last no other node of ours changes anything. */
  #change(aim: Aim): Promise<DecidedPlan & { readonly failure?: V6Error }> {
    return this.#session('exclusively', aim.wanted, async (run, state) => {
      const decided = planHost(state, aim);
      if (aim.wanted !== undefined) await this.#record(aim.wanted, state, decided);
      try {
        for (const write of decided.writes) await this.#write(run, write);
        return decided;
      } catch (error) {
        // Of a lost shell the session takes care: it begins anew.
        if (isLostShell(error)) throw error;
        return { ...decided, failure: toV6Error(error) };
      }
    });
  }

  async #write(run: RunOnHost, write: HostWrite): Promise<void> {
    try {
      await runWrite(run, write);
    } catch (error) {
      if (write.isOptional !== true || isLostShell(error)) throw error;
      if (!this.#isOptionalMissing)
        this.#deps.logger?.warn('A rule of the node could not be put on this host', { error });
      this.#isOptionalMissing = true;
    }
  }

  /** Written before the change: after a crash in between, what may be there is known. */
  async #record(wanted: HostRules, state: HostState, { plan }: DecidedPlan): Promise<void> {
    const { records, clock } = this.#deps;
    if (records === undefined) return;
    const hasAccepts = plan.changes.some(
      ({ what, action }) => what === 'accept-chain' && action !== 'remove',
    );
    const hasNat = plan.changes.some(
      ({ what, action }) => what === 'masquerade' && action !== 'remove',
    );
    const places = [
      `table ${GUARD_TABLE}`,
      ...(hasNat ? [`table ${NAT_TABLE}`] : []),
      ...(hasAccepts ? [`${state.backend} filter ${ACCEPT_CHAIN}`] : []),
    ];
    const record = { wanted, backend: state.backend, places };
    const before = await records.find();
    if (before !== undefined && isSame(before, record)) return;
    await records.save({ ...record, at: clock.now().toISOString() });
  }

  /** A session that knows the host. Where iptables-legacy is needed, a container that can run it takes the place of the first. */
  async #session<T>(
    kind: 'session' | 'exclusively',
    wanted: HostRules | undefined,
    work: (run: RunOnHost, state: HostState) => Promise<T>,
  ): Promise<T> {
    const { engine, container } = this.#deps;
    const info = await engine.info();
    const attempt = (): Promise<T> =>
      this.#shell[kind](async (run) => {
        const { isForLegacy } = container;
        return work(run, await readHost(run, { engine: info, wanted, isForLegacy }));
      });
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof LegacyNeeded)) throw error;
      this.#shell.reopen();
      await container.prepareForLegacy();
      return attempt();
    }
  }

  /** Once each, as long as it lasts. */
  #warnOf(conflicts: readonly HostConflict[]): void {
    const keys = new Set(conflicts.map(keyOf));
    for (const conflict of conflicts) {
      if (this.#warned.has(keyOf(conflict))) continue;
      const { where, flow, rule, isCertain, hints } = conflict;
      const verb = isCertain ? 'drops' : 'may drop';
      this.#deps.logger?.warn(`A rule of this host ${verb} VPN traffic ${flow}`, {
        where,
        rule,
        hints,
      });
    }
    this.#warned.clear();
    for (const key of keys) this.#warned.add(key);
  }
}

const keyOf = ({ where, flow, isCertain }: HostConflict): string => `${where}|${flow}|${isCertain}`;

function isSame(a: HostRulesRecord, b: Omit<HostRulesRecord, 'at'>): boolean {
  const { wanted, backend, places } = a;
  return JSON.stringify({ wanted, backend, places }) === JSON.stringify(b);
}

const COMMANDS: Readonly<Record<HostWrite['tool'], string>> = {
  nft: 'nft -f -',
  'iptables-nft': 'iptables-nft-restore --noflush',
  'iptables-legacy': 'iptables-legacy-restore --noflush -w 5',
};

/** The whole batch on the tool's standard input: one transaction. */
async function runWrite(run: RunOnHost, { tool, batch }: HostWrite): Promise<void> {
  const lines = batch.split('\n').filter((line) => line !== '');
  // Nothing that we write has a quote like this; what stands in somebody's comment might.
  const stranger = lines.find((line) => /['\0]/.test(line));
  if (stranger !== undefined)
    throw new V6Error('V6_FIREWALL_APPLY', `A rule holds a quotation mark: ${stranger}`);
  const words = lines.map((line) => `'${line}'`).join(' ');
  await run(`printf '%s\\n' ${words} | ${COMMANDS[tool]}`, 'V6_FIREWALL_APPLY');
}
