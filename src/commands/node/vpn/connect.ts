import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags } from '../../../cli/context.ts';
import { renderVerdict } from '../../../cli/render/node.ts';
import { runningNodeContext } from '../../../cli/running-context.ts';
import type { Verdict } from '../../../core/protocol/daemon.ts';

export default class NodeVpnConnect extends V6Command<Verdict> {
  static override summary = 'bring the tunnel of a running node up';
  static override description =
    'Climbs the credential ladder from its first rung, as at the start of the node. Nothing happens when the tunnel is up.';
  static override examples = ['<%= config.bin %> node vpn connect --name hospital-a'];
  static override flags = { ...contextFlags };

  async run(): Promise<Verdict> {
    const { flags } = await this.parse(NodeVpnConnect);
    const { composeDaemonIn, runningNodes } = await import('../../../node/compose-host.ts');
    const { connectVpn } = await import('../../../node/host/vpn-connection.ts');
    const context = await runningNodeContext(flags, process.env, runningNodes);
    const daemonIn = await composeDaemonIn();
    const verdict = await connectVpn(daemonIn(context.runDir, context.name));
    this.log(renderVerdict(verdict));
    return verdict;
  }
}
