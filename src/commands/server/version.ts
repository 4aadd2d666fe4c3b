import { V6Command } from '../../cli/base-command.ts';
import { contextFlags } from '../../cli/context.ts';
import { runningServerContext, serverContext } from '../../cli/server-context.ts';
import { V6_VERSION } from '../../core/labels.ts';

interface ServerVersion {
  readonly server: string;
  readonly url: string;
  /** As the running server says. */
  readonly version: string;
  /** Of this command line. */
  readonly cli: string;
}

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
    const { url, version } = await askVersion(host, context);
    this.log(version);
    if (version !== V6_VERSION) this.note(`This command line is version ${V6_VERSION}.`);
    return { server: context.name, url, version, cli: V6_VERSION };
  }
}
