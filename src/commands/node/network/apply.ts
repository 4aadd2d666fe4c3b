import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags } from '../../../cli/context.ts';
import { nodeContext } from '../../../cli/node-context.ts';
import { renderNetworkApply } from '../../../cli/render/node-network.ts';
import type { NetworkPlan } from '../../../core/protocol/node-network.ts';

export default class NodeNetworkApply extends V6Command<NetworkPlan> {
  static override summary = 'put the rules of a node on this host';
  static override description =
    'What `plan` shows, in one transaction for each tool; once more changes nothing. A node does this by itself at its start and whenever something changed its rules: the command is for those who want the rules before the first start, or at once. Rules of others that drop VPN traffic all the same are named in `conflicts`.';
  static override examples = ['<%= config.bin %> node network apply --name hospital-a'];
  static override flags = { ...contextFlags };

  async run(): Promise<NetworkPlan> {
    const { flags } = await this.parse(NodeNetworkApply);
    const { runningNodes } = await import('../../../node/compose-host.ts');
    const { composeNetworkPlan } = await import('../../../node/compose-network.ts');
    const { applyNetwork } = await import('../../../node/host/network-plan.ts');
    const context = await nodeContext(flags, process.env, runningNodes);
    const { deps, config } = await composeNetworkPlan(context, this.config.root);
    const done = await applyNetwork(deps, context, config);
    this.log(renderNetworkApply(done));
    return done;
  }
}
