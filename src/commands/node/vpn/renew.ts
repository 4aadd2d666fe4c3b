import { Flags } from '@oclif/core';
import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags } from '../../../cli/context.ts';
import { renderVerdict } from '../../../cli/render/node.ts';
import { runningNodeContext } from '../../../cli/running-context.ts';
import type { Verdict } from '../../../core/protocol/daemon.ts';

export default class NodeVpnRenew extends V6Command<Verdict> {
  static override summary = 'renew the VPN credential of a running node';
  static override description =
    'Asks the server for a new keypair on the same lease, and connects with it. Without --force nothing happens while the present credential works.';
  static override examples = ['<%= config.bin %> node vpn renew --name hospital-a --force'];
  static override flags = {
    ...contextFlags,
    force: Flags.boolean({ description: 'renew also a credential that works' }),
  };

  async run(): Promise<Verdict> {
    const { flags } = await this.parse(NodeVpnRenew);
    const { composeDaemonIn, runningNodes } = await import('../../../node/compose-host.ts');
    const { renewCredential } = await import('../../../node/host/vpn-connection.ts');
    const context = await runningNodeContext(flags, process.env, runningNodes);
    const daemonIn = await composeDaemonIn();
    const verdict = await renewCredential(daemonIn(context.runDir, context.name), {
      force: flags.force,
    });
    this.log(renderVerdict(verdict));
    return verdict;
  }
}
