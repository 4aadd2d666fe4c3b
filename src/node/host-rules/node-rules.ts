import { V6Error } from '../../core/errors.ts';
import type { HostPlan, HostRemote, HostRules } from '../../core/net/host-rules.ts';
import type { Drift } from '../interfaces/drift.ts';
import type { HostFirewall } from '../interfaces/host-firewall.ts';
import type { HostView } from '../interfaces/host-view.ts';

export interface NodeRulesDeps {
  readonly firewall: HostFirewall;
  readonly host: Pick<HostView, 'addresses'>;
}

/** The rules of one living node on its host: what it wants follows from its uplink, its remotes and the host's addresses. */
export class NodeHostRules {
  readonly #deps: NodeRulesDeps;
  readonly #owner: string;
  readonly #uplink: HostRules['uplink'];
  #remotes: readonly HostRemote[] = [];
  #isUndone = false;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(deps: NodeRulesDeps, owner: string, uplink: HostRules['uplink']) {
    this.#deps = deps;
    this.#owner = owner;
    this.#uplink = uplink;
  }

  wanted(): HostRules {
    const own = new Set(this.#deps.host.addresses());
    return {
      owner: this.#owner,
      uplink: this.#uplink,
      remotes: this.#remotes,
      // Elsewhere they need no door in the guard.
      localRemotes: this.#remotes.filter(({ address }) => own.has(address)),
    };
  }

  /**
   * The first rules, before there is a client config. After a crash they let through what the daemon before had a tunnel to:
   * it may still stand. Throws V6_FIREWALL_APPLY, V6_FIREWALL_READ, V6_ENGINE_*.
   */
  async begin(): Promise<HostPlan> {
    const before = await this.#deps.firewall.recorded();
    const isOurs = before?.wanted.owner === this.#owner;
    return this.apply(isOurs ? before.wanted.remotes : []);
  }

  /** Applies the rules for these remotes. Throws V6_FIREWALL_APPLY, V6_FIREWALL_READ, V6_ENGINE_*. */
  apply(remotes: readonly HostRemote[]): Promise<HostPlan> {
    return this.#inTurn(() => {
      if (this.#isUndone) throw new V6Error('V6_INTERRUPTED', 'The node is stopping');
      this.#remotes = remotes;
      return this.#deps.firewall.apply(this.wanted());
    });
  }

  /** Repairs what was changed by others; nothing once the rules were undone. Throws V6_FIREWALL_READ. */
  reconcile(): Promise<readonly Drift[]> {
    return this.#inTurn(async () =>
      this.#isUndone ? [] : this.#deps.firewall.reconcile(this.wanted()),
    );
  }

  /** Removes the rules and lets go of the host, whatever is repaired at the same time. */
  undo(): Promise<void> {
    this.#isUndone = true;
    return this.#inTurn(async () => {
      try {
        await this.#deps.firewall.undo(this.#owner);
      } finally {
        await this.#deps.firewall.close();
      }
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}
