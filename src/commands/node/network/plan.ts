import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags } from '../../../cli/context.ts';
import { nodeContext } from '../../../cli/node-context.ts';
import { renderNetworkPlan } from '../../../cli/render/node-network.ts';
import type { NetworkPlan } from '../../../core/protocol/node-network.ts';

export default class NodeNetworkPlan extends V6Command<NetworkPlan> {
  static override summary = 'show which rules a node would change on this host, and why';
  static override description =
    'Changes nothing, and looks at nothing in a way that changes it. Works for a node that runs and for one that does not. Ends with 0, whether there is something to do or not: scripts read `isUpToDate` and `conflicts` of --json.';
  static override examples = [
    '<%= config.bin %> node network plan --name hospital-a',
    '<%= config.bin %> node network plan --name hospital-a --json',
  ];
  static override flags = { ...contextFlags };

  async run(): Promise<NetworkPlan> {
    const { flags } = await this.parse(NodeNetworkPlan);
    const { runningNodes } = await import('../../../node/compose-host.ts');
    const { composeNetworkPlan } = await import('../../../node/compose-network.ts');
    const { planNetwork } = await import('../../../node/host/network-plan.ts');
    const context = await nodeContext(flags, process.env, runningNodes);
    const { deps, config } = await composeNetworkPlan(context, this.config.root);
    const plan = await planNetwork(deps, context, config);
    this.log(renderNetworkPlan(plan));
    return plan;
  }
}
