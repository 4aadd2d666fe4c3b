import { type ErrorCode, V6Error } from '../../src/core/errors.ts';
import type { HostFirewallView, HostPlan, HostRules } from '../../src/core/net/host-rules.ts';
import type { Drift } from '../../src/node/interfaces/drift.ts';
import type {
  HostFirewall,
  HostPart,
  HostRulesRecord,
} from '../../src/node/interfaces/host-firewall.ts';

/** The firewall of a host in memory: who has rules there, and which. */
export class FakeHostFirewall implements HostFirewall {
  readonly owners = new Map<string, HostRules>();
  /** What every change throws. */
  failure: ErrorCode | undefined;
  isClosed = false;
  record: HostRulesRecord | undefined;
  /** Owners in the order in which `reconcile` was called. */
  readonly checks: string[] = [];
  #onChange: ((hint: string, of: HostPart) => void) | undefined;

  async inspect(): Promise<HostFirewallView> {
    const owners = [...this.owners.keys()];
    return {
      backend: 'iptables-nft',
      evidence: ['a fake'],
      bridgeNfCallIptables: null,
      forwardPolicy: 'accept',
      owners,
      rules: owners.length === 0 ? null : `rules for ${owners.join(', ')}`,
      conflicts: [],
    };
  }

  async plan({ owner }: HostRules): Promise<HostPlan> {
    return nothingToDo(owner);
  }

  async planUndo(owner: string): Promise<HostPlan> {
    return nothingToDo(owner);
  }

  async apply(wanted: HostRules): Promise<HostPlan> {
    if (this.failure !== undefined) throw new V6Error(this.failure, 'The rules were told to fail');
    this.owners.set(wanted.owner, wanted);
    return nothingToDo(wanted.owner);
  }

  async undo(owner: string): Promise<HostPlan> {
    this.owners.delete(owner);
    this.record = undefined;
    return nothingToDo(owner);
  }

  async reconcile(wanted: HostRules): Promise<readonly Drift[]> {
    this.checks.push(wanted.owner);
    if (this.owners.has(wanted.owner)) return [];
    await this.apply(wanted);
    return [{ what: 'rules on the host', found: 'none', wanted: 'those of the node' }];
  }

  /** The networks of a fake engine have no devices on any host. */
  async links(): Promise<undefined> {
    return undefined;
  }

  watch(onChange: (hint: string, of: HostPart) => void): void {
    this.#onChange = onChange;
  }

  /** Somebody flushes the host's rules. */
  flush(): void {
    this.owners.clear();
    this.#onChange?.('the host’s rules were changed by a test', 'rules');
  }

  async recorded(): Promise<HostRulesRecord | undefined> {
    return this.record;
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }
}

const nothingToDo = (owner: string): HostPlan => ({
  owner,
  backend: 'iptables-nft',
  changes: [],
  conflicts: [],
});
