import type { Clock } from '../../core/clock.ts';
import type { Engine } from '../../core/engine/engine.ts';
import { V6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { DaemonNetworkChecks } from '../../core/protocol/daemon.ts';
import type { NodeHostRules } from '../host-rules/node-rules.ts';
import type { HostFirewall } from '../interfaces/host-firewall.ts';
import type { VpnClient } from '../interfaces/vpn-client.ts';
import type { SlotProxy } from '../proxy/slot-proxy.ts';
import type { OwnNetworks } from '../slots/own-networks.ts';
import type { SlotOwner } from '../slots/slot-plan.ts';
import type { SlotPool } from '../slots/slot-pool.ts';
import { checkUplink } from '../slots/uplink-check.ts';
import { EngineWatch } from './engine-watch.ts';
import { Reconciler } from './reconciler.ts';

export interface NetworkParts {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly firewall: Pick<HostFirewall, 'watch' | 'links'>;
  readonly owner: SlotOwner;
  readonly networks: OwnNetworks;
  readonly slots: Pick<SlotPool, 'reconcile'>;
  readonly proxy: Pick<SlotProxy, 'watch'>;
  readonly vpn: Pick<VpnClient, 'reconcile' | 'onTunnelChange' | 'onDisturbance'>;
  readonly hostRules: Pick<NodeHostRules, 'reconcile'>;
}

const SLOTS = 'the slots';
const VPN_CLIENT = 'the VPN client';
const HOST_RULES = 'the host rules';

/** Everything of the data plane that is kept as it must be, and everything that gives a reason to look. */
export class NetworkKeeper {
  readonly #parts: NetworkParts;
  readonly #reconciler: Reconciler;
  readonly #watch: EngineWatch;
  readonly #life = new AbortController();
  #running: Promise<unknown> = Promise.resolve();

  constructor(parts: NetworkParts) {
    this.#parts = parts;
    const { engine, networks, slots, vpn, firewall, hostRules, owner } = parts;
    this.#watch = new EngineWatch(parts, owner);
    this.#reconciler = new Reconciler({
      ...parts,
      explain: (drift) => this.#watch.explain(drift),
      // The networks first: the VPN client is connected to them.
      checks: [
        {
          name: 'the uplink network',
          run: () => checkUplink(engine.networks, () => firewall.links(), networks),
        },
        { name: SLOTS, run: () => slots.reconcile() },
        { name: VPN_CLIENT, run: () => vpn.reconcile() },
        { name: HOST_RULES, run: () => hostRules.reconcile() },
      ],
    });
  }

  start(): void {
    const { vpn, firewall, proxy } = this.#parts;
    const { signal } = this.#life;
    const reconciler = this.#reconciler;
    vpn.onTunnelChange(({ kind }) => reconciler.request(`the tunnel is ${kind}`));
    // Runs that come and go disturb the client as well: the networks need not be looked at for that.
    vpn.onDisturbance((hint, urgency) => reconciler.request(hint, urgency, VPN_CLIENT));
    proxy.watch((hint) => reconciler.request(hint, 'now', SLOTS), signal);
    // A busy host changes its rules with every container of others.
    firewall.watch((hint, of) => {
      // A bridge that is made anew has lost what was connected to it.
      if (of === 'bridges') reconciler.request(hint);
      else reconciler.request(hint, 'now', HOST_RULES);
    }, signal);
    this.#running = Promise.all([
      reconciler.run(signal),
      this.#watch.run(
        (trigger, urgency) => reconciler.request(trigger, urgency),
        () => reconciler.isPassing,
        signal,
      ),
    ]);
  }

  /** Somebody saw something that is not as it must be. */
  request(what: string): void {
    this.#reconciler.request(what);
  }

  /** Ends the checks; one that is under way is waited for. */
  async stop(): Promise<void> {
    this.#life.abort(new V6Error('V6_INTERRUPTED', 'The node is stopping'));
    await this.#running;
  }

  status(): DaemonNetworkChecks {
    const { lastCheck, repairs, lastRepair, failing } = this.#reconciler.report();
    return {
      lastCheck: lastCheck?.toISOString() ?? null,
      repairs,
      lastRepair: lastRepair && { ...lastRepair, at: lastRepair.at.toISOString() },
      failing: failing.map((each) => ({ ...each, since: each.since.toISOString() })),
    };
  }
}
