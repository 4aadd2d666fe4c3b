import { Flags } from '@oclif/core';
import { V6Command } from '../../cli/base-command.ts';
import { confirmOrYes, yesFlag } from '../../cli/confirm.ts';
import { contextFlags, contextFromFlags } from '../../cli/context.ts';
import { isV6Error } from '../../core/errors.ts';
import type { RemovedNode } from '../../node/host/remove-node.ts';

export default class NodeRemove extends V6Command<RemovedNode> {
  static override summary = 'remove a node from this machine';
  static override description =
    'Gives its VPN lease back, stops it, and removes its configuration, its logs and its data. The node stays known at the server: an administrator deletes it there.\n\nThe lease can be given back only by a node that runs; of another one it ends at the server with `v6 server vpn revoke`. --keep-lease leaves it alone, for a server that cannot be reached.';
  static override examples = ['<%= config.bin %> node remove --name hospital-a --yes'];
  static override flags = {
    ...contextFlags,
    'keep-lease': Flags.boolean({
      description: 'do not give the VPN lease back',
      default: false,
    }),
    ...yesFlag,
  };

  async run(): Promise<RemovedNode> {
    const { flags } = await this.parse(NodeRemove);
    const { composeNodeHost } = await import('../../node/compose-host.ts');
    const { removeNode } = await import('../../node/host/remove-node.ts');
    const { stopNode } = await import('../../node/host/stop-node.ts');
    const { releaseLease } = await import('../../node/host/vpn-connection.ts');
    const context = contextFromFlags('node', flags, process.env);
    await confirmOrYes({
      message: `Remove the node ${context.name} (${context.scope}): configuration, logs and all data in ${context.dataDir}?`,
      flags,
      isQuiet: this.jsonEnabled(),
    });
    const host = await composeNodeHost(this.config.root);
    const unlessStopped = (error: unknown): void => {
      if (!isV6Error(error, 'V6_NODE_NOT_RUNNING')) throw error;
    };
    if (!flags['keep-lease'])
      await releaseLease(host.daemonIn(context.runDir, context.name)).then(() => {}, unlessStopped);
    await stopNode(host, context).then(() => {}, unlessStopped);
    const done = await removeNode(host, context);
    for (const path of done.removed) this.log(`Removed ${path}`);
    return done;
  }
}
