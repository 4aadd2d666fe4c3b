import { Flags } from '@oclif/core';
import { V6Command } from '../../cli/base-command.ts';
import { contextFlags } from '../../cli/context.ts';
import { withInterrupt } from '../../cli/interrupt.ts';
import { runningServerContext, serverContext } from '../../cli/server-context.ts';

interface ServerLog {
  readonly server: string;
  /** Lines of the server; each of its own is a JSON document. */
  readonly lines: readonly string[];
}

export default class ServerLogs extends V6Command<ServerLog> {
  static override summary = 'show the log of the coordination server';
  static override description =
    'Prints the lines of the server as they are: one JSON document each. With --json they are collected into one document, with --follow until the server ends or Ctrl-C.';
  static override examples = ['<%= config.bin %> server logs --name trial --follow --tail 20'];
  static override flags = {
    ...contextFlags,
    follow: Flags.boolean({
      char: 'f',
      description: 'go on until the server ends or Ctrl-C',
      default: false,
    }),
    tail: Flags.integer({ description: 'only so many lines from the end', min: 0 }),
  };

  async run(): Promise<ServerLog> {
    const { flags } = await this.parse(ServerLogs);
    const { composeServerHost } = await import('../../server/compose-host.ts');
    const { runningServers } = await import('../../server/host/list-servers.ts');
    const { serverLogs } = await import('../../server/host/server-logs.ts');
    const host = await composeServerHost(this.config.root);
    const list = () => runningServers(host, (server) => serverContext(server, process.env));
    const context = await runningServerContext(flags, process.env, list);
    const { follow, tail } = flags;
    let collected = '';
    await withInterrupt(async (signal) => {
      for await (const text of serverLogs(host, { context, follow, tail, signal })) {
        if (this.jsonEnabled()) collected += text;
        else process.stdout.write(text);
      }
    });
    return { server: context.name, lines: collected.split('\n').filter((line) => line !== '') };
  }
}
