import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags } from '../../../cli/context.ts';
import { renderNodeVpn } from '../../../cli/render/node-vpn.ts';
import { runningNodeContext } from '../../../cli/running-context.ts';
import type { DaemonVpn } from '../../../core/protocol/daemon.ts';

export default class NodeVpnStatus extends V6Command<DaemonVpn> {
  static override summary = 'show the VPN credential and tunnel of a running node';
  static override description =
    'Rung of the credential ladder, how far the tunnel is known to carry (tunnel, data, peer), address, bytes, the end of the certificate and when the node renews it, the last error. Exit status 69 when the node is not running.';
  static override examples = ['<%= config.bin %> node vpn status --name hospital-a --json'];
  static override flags = { ...contextFlags };

  async run(): Promise<DaemonVpn> {
    const { flags } = await this.parse(NodeVpnStatus);
    const { composeDaemonIn, runningNodes } = await import('../../../node/compose-host.ts');
    const context = await runningNodeContext(flags, process.env, runningNodes);
    const daemonIn = await composeDaemonIn();
    const vpn = await daemonIn(context.runDir, context.name).vpn();
    this.log(renderNodeVpn(vpn));
    if (vpn.warning !== null && !this.jsonEnabled()) this.warnWith(vpn.warning);
    return vpn;
  }
}
