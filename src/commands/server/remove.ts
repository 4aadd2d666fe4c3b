import { Flags } from '@oclif/core';
import { V6Command } from '../../cli/base-command.ts';
import { confirmOrYes, yesFlag } from '../../cli/confirm.ts';
import { contextFlags, contextFromFlags } from '../../cli/context.ts';
import type { RemovedServer } from '../../server/host/server-files.ts';

export default class ServerRemove extends V6Command<RemovedServer> {
  static override summary = 'remove a server from this machine';
  static override description =
    'Stops it, and removes its configuration and logs; with --data its database, keys and secret too, for good.';
  static override examples = [
    '<%= config.bin %> server remove --name trial',
    '<%= config.bin %> server remove --name trial --data --yes',
  ];
  static override flags = {
    ...contextFlags,
    data: Flags.boolean({
      description: 'the data folder as well, with database and secret',
      default: false,
    }),
    ...yesFlag,
  };

  async run(): Promise<RemovedServer> {
    const { flags } = await this.parse(ServerRemove);
    const { composeServerHost } = await import('../../server/compose-host.ts');
    const { removeServer } = await import('../../server/host/server-files.ts');
    const { stopServer } = await import('../../server/host/stop-server.ts');
    const context = contextFromFlags('server', flags, process.env);
    const what = flags.data
      ? `configuration, logs and all data in ${context.dataDir}`
      : 'configuration and logs';
    const isQuiet = this.jsonEnabled();
    await confirmOrYes({
      message: `Remove the server ${context.name} (${context.scope}): ${what}?`,
      flags,
      isQuiet,
    });
    const host = await composeServerHost(this.config.root);
    const { isV6Error } = await import('../../core/errors.ts');
    await stopServer(host, context).catch((error: unknown) => {
      if (!isV6Error(error, 'V6_SERVER_NOT_RUNNING')) throw error;
    });
    const done = await removeServer(host, context, { withData: flags.data });
    for (const path of done.removed) this.log(`Removed ${path}`);
    for (const path of done.remains) this.note(`What remains: ${path}`);
    return done;
  }
}
