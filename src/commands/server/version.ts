import { V6Command } from '../../cli/base-command.ts';
import { contextFlags } from '../../cli/context.ts';
import { runningServerContext, serverContext } from '../../cli/server-context.ts';
import type { ServerVersion } from '../../server/host/server-status.ts';

export default class ServerVersionCommand extends V6Command<ServerVersion> {
  static override summary = 'ask a running coordination server for its version';
  static override examples = ['<%= config.bin %> server version --name trial'];
  static override flags = { ...contextFlags };

  async run(): Promise<ServerVersion> {
    const { flags } = await this.parse(ServerVersionCommand);
    const { composeServerHost } = await import('../../server/compose-host.ts');
    const { runningServers } = await import('../../server/host/list-servers.ts');
    const { askVersion } = await import('../../server/host/server-status.ts');
    const host = await composeServerHost(this.config.root);
    const list = () => runningServers(host, (server) => serverContext(server, process.env));
    const context = await runningServerContext(flags, process.env, list);
    const answer = await askVersion(host, context);
    this.log(`${answer.version} (vantage6 ${answer.protocol})`);
    if (answer.version !== answer.cli) this.note(`This command line is version ${answer.cli}.`);
    return answer;
  }
}
