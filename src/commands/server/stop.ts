import { Flags } from '@oclif/core';
import { type CommandFlags, V6Command } from '../../cli/base-command.ts';
import { contextFlags } from '../../cli/context.ts';
import { runningServerContext, serverContext } from '../../cli/server-context.ts';
import type { StoppedServer } from '../../server/host/stop-server.ts';

export default class ServerStop extends V6Command<{ servers: readonly StoppedServer[] }> {
  static override summary = 'stop the coordination server';
  static override description =
    'Configuration and data stay. Without --name, the only server that `v6 server start` started; one that somebody runs in the foreground (v6 server run, systemd) has to be named. Exit status 69 when there is nothing to stop.';
  static override examples = [
    '<%= config.bin %> server stop --name trial',
    '<%= config.bin %> server stop --all',
  ];
  static override flags = {
    ...contextFlags,
    all: Flags.boolean({
      description:
        'every server that `v6 server start` started on this machine, but those of demos',
      exclusive: ['name', 'config', 'user', 'system', 'demo', 'scope'],
    }),
  };

  async run(): Promise<{ servers: readonly StoppedServer[] }> {
    const { flags } = await this.parse(ServerStop);
    const servers = await this.stop(flags);
    for (const { name, isClean } of servers) {
      this.log(`The server ${name} is stopped.`);
      if (!isClean) this.note('It had ended before, or did not end in time and was killed.');
    }
    return { servers };
  }

  private async stop(flags: CommandFlags<typeof ServerStop>): Promise<readonly StoppedServer[]> {
    const { composeServerHost } = await import('../../server/compose-host.ts');
    const { startedServers } = await import('../../server/host/list-servers.ts');
    const { stopServer, stopServers } = await import('../../server/host/stop-server.ts');
    const host = await composeServerHost(this.config.root);
    const list = () => startedServers(host, (server) => serverContext(server, process.env));
    if (!flags.all)
      return [await stopServer(host, await runningServerContext(flags, process.env, list))];
    return stopServers(
      host,
      (await list()).map((server) => serverContext(server, process.env)),
    );
  }
}
