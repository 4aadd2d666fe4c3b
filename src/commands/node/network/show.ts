import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags } from '../../../cli/context.ts';
import { nodeContext } from '../../../cli/node-context.ts';
import { renderNodeNetwork } from '../../../cli/render/node-network.ts';
import type { NetworkView } from '../../../core/protocol/node-network.ts';

export default class NodeNetworkShow extends V6Command<NetworkView> {
  static override summary = 'show the networks and rules of a node on this host';
  static override description =
    'Networks of the runs, what makes the firewall of this host and how that is known, the rules that nodes put there, rules of others that drop VPN traffic, and the rules in the VPN client, as they stand now. Of a node that does not run: what is left of it.';
  static override examples = [
    '<%= config.bin %> node network show --name hospital-a',
    '<%= config.bin %> node network show --json',
  ];
  static override flags = { ...contextFlags };

  async run(): Promise<NetworkView> {
    const { flags } = await this.parse(NodeNetworkShow);
    const { runningNodes } = await import('../../../node/compose-host.ts');
    const { composeNetworkView } = await import('../../../node/compose-network.ts');
    const { viewNetwork } = await import('../../../node/host/network-view.ts');
    const context = await nodeContext(flags, process.env, runningNodes);
    const view = await viewNetwork(await composeNetworkView(context, this.config.root), context);
    this.log(renderNodeNetwork(view));
    return view;
  }
}
