import { Flags } from '@oclif/core';
import { V6Command } from '../../../cli/base-command.ts';
import { confirmOrYes } from '../../../cli/confirm.ts';
import { contextFlags } from '../../../cli/context.ts';
import { nodeContext } from '../../../cli/node-context.ts';
import { renderNetworkUndo } from '../../../cli/render/node-network.ts';
import type { NetworkUndo } from '../../../core/protocol/node-network.ts';

export default class NodeNetworkUndo extends V6Command<NetworkUndo> {
  static override summary =
    'remove everything of a node from this host: rules, containers, networks';
  static override description =
    'For what a crash left: works without the node’s daemon and without its configuration. Algorithms of the node that still run are ended. Rules of other nodes stay, and so do configuration, data and VPN lease. Refused while the node runs: `v6 node stop` removes the same in order.';
  static override examples = [
    '<%= config.bin %> node network undo --name hospital-a --dry-run',
    '<%= config.bin %> node network undo --name hospital-a --yes',
  ];
  static override flags = {
    ...contextFlags,
    'dry-run': Flags.boolean({
      description: 'only show what would be removed',
      default: false,
      exclusive: ['yes', 'force'],
    }),
    force: Flags.boolean({
      description: 'also while the node runs: it is stopped first, and its runs end',
      default: false,
    }),
    yes: Flags.boolean({ char: 'y', description: 'do it without asking', default: false }),
  };

  async run(): Promise<NetworkUndo> {
    const { flags } = await this.parse(NodeNetworkUndo);
    const { composeNetworkUndo } = await import('../../../node/compose-network.ts');
    const { planNetworkUndo, undoNetwork } = await import('../../../node/host/network-undo.ts');
    const { runningNodes } = await import('../../../node/compose-host.ts');
    const context = await nodeContext(flags, process.env, runningNodes);
    if (flags['dry-run']) {
      const plan = await planNetworkUndo(
        await composeNetworkUndo(context, this.config.root),
        context,
      );
      this.log(renderNetworkUndo(plan));
      return plan;
    }
    await confirmOrYes({
      message: `Remove rules, containers and networks of the node ${context.name} (${context.scope}) from this host?`,
      flags,
      isQuiet: this.jsonEnabled(),
    });
    const deps = await composeNetworkUndo(context, this.config.root);
    const undone = await undoNetwork(deps, context, { isForced: flags.force });
    this.log(renderNetworkUndo(undone));
    return undone;
  }
}
