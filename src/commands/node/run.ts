import { Flags } from '@oclif/core';
import { V6Command } from '../../cli/base-command.ts';
import { contextFlags, contextFromFlags } from '../../cli/context.ts';
import { withInterrupt } from '../../cli/interrupt.ts';

interface RanNode {
  readonly name: string;
  readonly scope: string;
}

export default class NodeRun extends V6Command<RanNode> {
  static override summary = 'run a node in the foreground';
  static override description =
    'What `v6 node start` runs in the daemon’s container: logs in, makes the networks of the node, starts its VPN client, and takes tasks until it is interrupted; then it undoes all of that. Logs are JSON lines on stderr.';
  static override examples = ['<%= config.bin %> node run --name hospital-a'];
  static override flags = {
    ...contextFlags,
    'vpn-image': Flags.string({
      description: 'image of the VPN client; default: the one of this version',
    }),
  };

  async run(): Promise<RanNode> {
    const { flags } = await this.parse(NodeRun);
    const context = contextFromFlags('node', flags, process.env);
    const { composeNode, vpnImageOf } = await import('../../node/compose.ts');
    const vpnImage = flags['vpn-image'] ?? vpnImageOf(this.config.root);
    const daemon = await composeNode({ context, vpnImage });
    const lost: unknown[] = [];
    await withInterrupt(async (signal) => {
      await daemon.start(signal);
      await daemon.untilInterrupted(signal).catch((error: unknown) => lost.push(error));
    });
    await daemon.stop();
    // Not 0: whoever supervises the daemon starts it again.
    if (lost.length > 0) throw lost[0];
    return { name: context.name, scope: context.scope };
  }
}
