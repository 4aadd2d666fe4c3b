import { V6Command } from '../../cli/base-command.ts';
import { contextFlags } from '../../cli/context.ts';
import { renderServerStatus } from '../../cli/render/server.ts';
import { runningServerContext, serverContext } from '../../cli/server-context.ts';
import { ERROR_CATALOGUE } from '../../core/errors.ts';
import type { ServerStatus } from '../../server/host/server-status.ts';

export default class ServerStatusCommand extends V6Command<ServerStatus> {
  static override summary = 'show whether the coordination server runs, and how';
  static override description =
    'The result is printed in any case. Exit status 69 when the server is not running, 75 when it runs and is not healthy.';
  static override examples = ['<%= config.bin %> server status --name trial --json'];
  static override flags = { ...contextFlags };

  async run(): Promise<ServerStatus> {
    const { flags } = await this.parse(ServerStatusCommand);
    const { composeServerHost } = await import('../../server/compose-host.ts');
    const { nodeCounter } = await import('../../server/compose-admin.ts');
    const { runningServers } = await import('../../server/host/list-servers.ts');
    const { serverStatus } = await import('../../server/host/server-status.ts');
    const host = await composeServerHost(this.config.root);
    const list = () => runningServers(host, (server) => serverContext(server, process.env));
    const context = await runningServerContext(flags, process.env, list);
    const databaseUri = process.env.VANTAGE6_DB_URI || undefined;
    const countNodes = nodeCounter({ context, databaseUri });
    const status = await serverStatus(host, context, { countNodes, databaseUri });
    this.log(renderServerStatus(status));
    for (const problem of status.problems) this.note(problem);
    // The document is printed whole, and the exit status says the rest beside it.
    if (!status.running) process.exitCode = ERROR_CATALOGUE.V6_SERVER_NOT_RUNNING.exitCode;
    else if (!status.healthy) process.exitCode = ERROR_CATALOGUE.V6_SERVER_NOT_READY.exitCode;
    return status;
  }
}
