import type { Context } from '../../core/context.ts';
import { isV6Error } from '../../core/errors.ts';
import type { NetworkPlan } from '../../core/protocol/node-network.ts';
import type { DaemonClient } from '../interfaces/daemon-client.ts';
import type { HostFirewall } from '../interfaces/host-firewall.ts';
import { type WantedConfig, type WantedRulesDeps, wantedRules } from './wanted-rules.ts';

export interface NetworkPlanDeps extends WantedRulesDeps {
  readonly firewall: Pick<HostFirewall, 'inspect' | 'plan' | 'apply' | 'close'>;
  readonly daemon: Pick<DaemonClient, 'status'>;
}

type Node = Pick<Context, 'name' | 'scope'>;

/** What `applyNetwork` would change on this host and why; changes nothing. Throws V6_FIREWALL_READ, V6_NET_*, V6_ENGINE_*. */
export function planNetwork(
  deps: NetworkPlanDeps,
  node: Node,
  config: WantedConfig,
): Promise<NetworkPlan> {
  return withRules(deps, node, config, 'plan');
}

/** Makes the rules of a node as it wants them, whether it runs or not. Throws as `planNetwork`, and V6_FIREWALL_APPLY. */
export function applyNetwork(
  deps: NetworkPlanDeps,
  node: Node,
  config: WantedConfig,
): Promise<NetworkPlan> {
  return withRules(deps, node, config, 'apply');
}

async function withRules(
  deps: NetworkPlanDeps,
  { name, scope }: Node,
  config: WantedConfig,
  what: 'plan' | 'apply',
): Promise<NetworkPlan> {
  const running = await doesRun(deps.daemon);
  const { rules, basis } = await wantedRules(deps, { name, scope }, { config, isRunning: running });
  try {
    const host = await deps.firewall.inspect();
    const { backend, changes, conflicts } = await deps.firewall[what](rules);
    const { evidence, bridgeNfCallIptables, forwardPolicy } = host;
    return {
      node: { name, scope, running },
      backend,
      evidence,
      bridgeNfCallIptables,
      forwardPolicy,
      basis,
      isUpToDate: changes.every(({ action }) => action === 'keep'),
      changes,
      conflicts,
    };
  } finally {
    await deps.firewall.close();
  }
}

/** Whether a daemon answers on the node's control socket, in a container or not; one that cannot be asked counts as one. */
export async function doesRun(daemon: Pick<DaemonClient, 'status'>): Promise<boolean> {
  try {
    await daemon.status();
    return true;
  } catch (error) {
    return !isV6Error(error, 'V6_NODE_NOT_RUNNING');
  }
}
