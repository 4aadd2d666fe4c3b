import { Flags } from '@oclif/core';
import { type CommandFlags, V6Command } from '../../cli/base-command.ts';
import { contextFlags, hostFolders } from '../../cli/context.ts';
import { runningNodeContext } from '../../cli/running-context.ts';
import { type Context, contextFor } from '../../core/context.ts';
import { isDemoScope } from '../../core/labels.ts';
import type { NodeHost } from '../../node/compose-host.ts';
import type { StoppedNode } from '../../node/host/stop-node.ts';

export default class NodeStop extends V6Command<{ nodes: readonly StoppedNode[] }> {
  static override summary = 'stop a node';
  static override description =
    'Ends the runs of the node and removes what it made on this machine. Its data and its VPN lease stay, so that the next start connects at once.';
  static override examples = [
    '<%= config.bin %> node stop --name hospital-a',
    '<%= config.bin %> node stop --name hospital-a --release',
    '<%= config.bin %> node stop --all',
  ];
  static override flags = {
    ...contextFlags,
    release: Flags.boolean({
      description:
        'give the VPN lease back first: the portal has room for another node, and the next start needs a new client config',
      default: false,
    }),
    all: Flags.boolean({
      description: 'every node of this machine but those of demos',
      exclusive: ['name', 'config', 'user', 'system', 'demo', 'scope'],
    }),
  };

  async run(): Promise<{ nodes: readonly StoppedNode[] }> {
    const { flags } = await this.parse(NodeStop);
    const nodes = await this.stop(flags);
    for (const node of nodes) this.show(node);
    return { nodes };
  }

  private async stop(flags: CommandFlags<typeof NodeStop>): Promise<readonly StoppedNode[]> {
    const { composeNodeHost } = await import('../../node/compose-host.ts');
    const { listNodes, stopNode, stopNodes } = await import('../../node/host/stop-node.ts');
    const host = await composeNodeHost(this.config.root);
    if (!flags.all) {
      const context = await runningNodeContext(flags, process.env, () => listNodes(host.engine));
      if (flags.release) await this.release(host, [context]);
      return [await stopNode(host, context)];
    }
    const found = (await listNodes(host.engine)).filter(({ scope }) => !isDemoScope(scope));
    const folders = hostFolders(process.env);
    const contexts = found.map(({ name, scope }) => contextFor('node', name, scope, folders));
    if (flags.release) await this.release(host, contexts);
    return stopNodes(host, contexts);
  }

  /** Before anything is stopped: a lease that cannot be given back leaves the nodes as they are. */
  private async release(host: NodeHost, contexts: readonly Context[]): Promise<void> {
    const { releaseLease } = await import('../../node/host/vpn-connection.ts');
    for (const { name, runDir } of contexts)
      if (await releaseLease(host.daemonIn(runDir, name)))
        this.note(`The VPN lease of ${name} is given back.`);
  }

  private show({ name, isClean, removed, remains }: StoppedNode): void {
    this.log(`The node ${name} is stopped.`);
    if (!isClean) {
      const what = [...removed.containers, ...removed.networks];
      this.note(
        what.length === 0
          ? 'It had ended by itself.'
          : `It had not cleaned up by itself; removed: ${what.join(', ')}`,
      );
    }
    const lease = remains.hasCredential ? ', with the client config: the VPN lease is kept' : '';
    this.note(`What remains: ${remains.dataDir}${lease}.`);
  }
}
