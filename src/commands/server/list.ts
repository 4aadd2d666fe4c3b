import { V6Command } from '../../cli/base-command.ts';
import { renderServers } from '../../cli/render/server.ts';
import { serverContext } from '../../cli/server-context.ts';
import type { ListedServer } from '../../server/host/list-servers.ts';

export default class ServerList extends V6Command<{ servers: readonly ListedServer[] }> {
  static override summary = 'list the servers of this machine';
  static override description =
    'Those with a configuration in the folder of the system or of this user, and those that run on a file elsewhere.';
  static override examples = ['<%= config.bin %> server list --json'];

  async run(): Promise<{ servers: readonly ListedServer[] }> {
    await this.parse(ServerList);
    const { composeServerHost } = await import('../../server/compose-host.ts');
    const { listServers } = await import('../../server/host/list-servers.ts');
    const host = await composeServerHost(this.config.root);
    const servers = await listServers(host, (server) => serverContext(server, process.env));
    this.log(renderServers(servers));
    return { servers };
  }
}
