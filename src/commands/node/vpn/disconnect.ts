import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags } from '../../../cli/context.ts';
import { renderVpn } from '../../../cli/render/node.ts';
import { runningNodeContext } from '../../../cli/running-context.ts';
import type { Verdict } from '../../../core/protocol/daemon.ts';

export default class NodeVpnDisconnect extends V6Command<Verdict> {
  static override summary = 'end the tunnel of a running node for now';
  static override description =
    'The node runs on without VPN and keeps its credential and its lease at the portal. The tunnel comes back with `v6 node vpn connect`, with `v6 node vpn renew --force` or at the next start of the node. Nothing happens when there is no tunnel.';
  static override examples = ['<%= config.bin %> node vpn disconnect --name hospital-a'];
  static override flags = { ...contextFlags };

  async run(): Promise<Verdict> {
    const { flags } = await this.parse(NodeVpnDisconnect);
    const { composeDaemonIn, runningNodes } = await import('../../../node/compose-host.ts');
    const { disconnectVpn } = await import('../../../node/host/vpn-connection.ts');
    const context = await runningNodeContext(flags, process.env, runningNodes);
    const daemonIn = await composeDaemonIn();
    const verdict = await disconnectVpn(daemonIn(context.runDir, context.name));
    this.log(renderVpn(verdict));
    return verdict;
  }
}
