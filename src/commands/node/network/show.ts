import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags } from '../../../cli/context.ts';
import { renderNodeNetwork } from '../../../cli/render/node.ts';
import { runningNodeContext } from '../../../cli/running-context.ts';
import type { DaemonNetwork } from '../../../core/protocol/daemon.ts';

export default class NodeNetworkShow extends V6Command<DaemonNetwork> {
  static override summary = 'show the networks and rules of a node on this host';
  static override description =
    'Networks of the runs, the rules that the node put on the host, and those in its VPN client, as they stand now.';
  static override examples = ['<%= config.bin %> node network show --name hospital-a'];
  static override flags = { ...contextFlags };

  async run(): Promise<DaemonNetwork> {
    const { flags } = await this.parse(NodeNetworkShow);
    const { composeDaemonIn, runningNodes } = await import('../../../node/compose-host.ts');
    const context = await runningNodeContext(flags, process.env, runningNodes);
    const daemonIn = await composeDaemonIn();
    const network = await daemonIn(context.runDir, context.name).network();
    this.log(renderNodeNetwork(network));
    return network;
  }
}
