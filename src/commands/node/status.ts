import { V6Command } from '../../cli/base-command.ts';
import { contextFlags } from '../../cli/context.ts';
import { renderNodeStatus } from '../../cli/render/node.ts';
import { runningNodeContext } from '../../cli/running-context.ts';
import type { DaemonStatus } from '../../core/protocol/daemon.ts';

export default class NodeStatus extends V6Command<DaemonStatus> {
  static override summary = 'show what a node does';
  static override description = 'Exit status 69 when the node is not running.';
  static override examples = ['<%= config.bin %> node status --name hospital-a --json'];
  static override flags = { ...contextFlags };

  async run(): Promise<DaemonStatus> {
    const { flags } = await this.parse(NodeStatus);
    const { composeDaemonIn, runningNodes } = await import('../../node/compose-host.ts');
    const context = await runningNodeContext(flags, process.env, runningNodes);
    const daemonIn = await composeDaemonIn();
    const status = await daemonIn(context.runDir, context.name).status();
    this.log(renderNodeStatus(status));
    if (status.vpn.warning !== null && !this.jsonEnabled()) this.warnWith(status.vpn.warning);
    return status;
  }
}
