import { V6Command } from '../../cli/base-command.ts';
import { contextFlags, contextFromFlags } from '../../cli/context.ts';
import { renderPlaces } from '../../cli/render/server.ts';
import type { ServerPlace } from '../../server/host/server-files.ts';

interface ServerFilesResult {
  readonly server: string;
  readonly scope: string;
  readonly files: readonly ServerPlace[];
}

export default class ServerFilesCommand extends V6Command<ServerFilesResult> {
  static override summary = 'show where the files of a server are';
  static override description =
    'Database and secret belong together: a backup has both, or neither is of use.';
  static override examples = ['<%= config.bin %> server files --name trial'];
  static override flags = { ...contextFlags };

  async run(): Promise<ServerFilesResult> {
    const { flags } = await this.parse(ServerFilesCommand);
    const { composeServerFiles } = await import('../../server/compose-host.ts');
    const { serverPlaces } = await import('../../server/host/server-files.ts');
    const context = contextFromFlags('server', flags, process.env);
    const files = await serverPlaces({ files: await composeServerFiles() }, context);
    this.log(renderPlaces(files));
    return { server: context.name, scope: context.scope, files };
  }
}
