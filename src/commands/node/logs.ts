import { Flags } from '@oclif/core';
import { V6Command } from '../../cli/base-command.ts';
import { contextFlags } from '../../cli/context.ts';
import { withInterrupt } from '../../cli/interrupt.ts';
import { runningNodeContext } from '../../cli/running-context.ts';

interface NodeLog {
  readonly node: string;
  /** Lines of the daemon; each of its own is a JSON document. */
  readonly lines: readonly string[];
}

export default class NodeLogs extends V6Command<NodeLog> {
  static override summary = 'show the log of a node';
  static override description =
    'Prints the lines of the daemon as they are: one JSON document each. With --json they are collected into one document, with --follow until the node ends or Ctrl-C.';
  static override examples = ['<%= config.bin %> node logs --name hospital-a --follow --tail 20'];
  static override flags = {
    ...contextFlags,
    follow: Flags.boolean({ char: 'f', description: 'go on until the node ends or Ctrl-C' }),
    tail: Flags.integer({ description: 'only so many lines from the end', min: 0 }),
  };

  async run(): Promise<NodeLog> {
    const { flags } = await this.parse(NodeLogs);
    const { composeNodeHost } = await import('../../node/compose-host.ts');
    const { nodeLogs } = await import('../../node/host/node-logs.ts');
    const { listNodes } = await import('../../node/host/stop-node.ts');
    const { engine } = await composeNodeHost(this.config.root);
    const context = await runningNodeContext(flags, process.env, () => listNodes(engine));
    const { follow, tail } = flags;
    let collected = '';
    await withInterrupt(async (signal) => {
      const input = { context, follow, signal };
      const pieces = nodeLogs(engine, tail === undefined ? input : { ...input, tail });
      for await (const text of pieces) {
        if (this.jsonEnabled()) collected += text;
        else process.stdout.write(text);
      }
    });
    return { node: context.name, lines: collected.split('\n').filter((line) => line !== '') };
  }
}
