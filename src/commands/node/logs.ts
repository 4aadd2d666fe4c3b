import { Flags } from '@oclif/core';
import { V6Command } from '../../cli/base-command.ts';
import { contextFlags } from '../../cli/context.ts';
import { withInterrupt } from '../../cli/interrupt.ts';
import { runningNodeContext } from '../../cli/running-context.ts';

export default class NodeLogs extends V6Command<void> {
  static override summary = 'show the log of a node';
  static override description =
    'Prints the lines of the daemon as they are: one JSON document each.';
  static override examples = ['<%= config.bin %> node logs --name hospital-a --follow --tail 20'];
  static override enableJsonFlag = false;
  static override flags = {
    ...contextFlags,
    follow: Flags.boolean({ char: 'f', description: 'go on until the node ends or Ctrl-C' }),
    tail: Flags.integer({ description: 'only so many lines from the end', min: 0 }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(NodeLogs);
    const { composeNodeHost } = await import('../../node/compose-host.ts');
    const { nodeLogs } = await import('../../node/host/node-logs.ts');
    const { listNodes } = await import('../../node/host/stop-node.ts');
    const { engine } = await composeNodeHost();
    const context = await runningNodeContext(flags, process.env, () => listNodes(engine));
    const { follow, tail } = flags;
    await withInterrupt(async (signal) => {
      const input = { context, follow, signal };
      const pieces = nodeLogs(engine, tail === undefined ? input : { ...input, tail });
      for await (const text of pieces) process.stdout.write(text);
    });
  }
}
