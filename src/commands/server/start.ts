import { Flags } from '@oclif/core';
import { type CommandFlags, V6Command } from '../../cli/base-command.ts';
import { contextFlags, contextFromFlags } from '../../cli/context.ts';
import { withInterrupt } from '../../cli/interrupt.ts';
import { renderStartedServer } from '../../cli/render/server.ts';
import { parseServerConfig } from '../../core/config/server-config.ts';
import type { ServerHost } from '../../server/compose-host.ts';
import { containerWarnings, refuseSecretInEnvironment } from '../../server/host/database-place.ts';
import type { StartedServer } from '../../server/host/start-server.ts';

export default class ServerStart extends V6Command<StartedServer> {
  static override summary = 'start the coordination server in the background';
  static override description =
    'Starts the server as a container, or as a process of its own where there is no container engine, and waits until it is healthy. Running already: nothing is changed.';
  static override examples = [
    '<%= config.bin %> server start --name trial',
    '<%= config.bin %> server start --name trial --user --detached',
  ];
  static override flags = {
    ...contextFlags,
    ip: Flags.string({ description: 'address of this machine to listen on; wins over the file' }),
    port: Flags.integer({
      char: 'p',
      description: 'port to listen on; wins over the file',
      min: 1,
      max: 65_535,
    }),
    image: Flags.string({
      char: 'i',
      description: 'image to run (default: the one of this version)',
    }),
    network: Flags.string({
      description: 'network of the container: bridge, host, or the name of one that exists',
      default: 'bridge',
    }),
    detached: Flags.boolean({
      description: 'as a process, without a container',
      default: false,
      exclusive: ['image'],
    }),
    wait: Flags.integer({
      description: 'seconds to wait until the server is healthy',
      default: 60,
      min: 1,
      max: 600,
    }),
  };

  async run(): Promise<StartedServer> {
    const { flags } = await this.parse(ServerStart);
    const started = await this.start(flags);
    for (const note of started.notes) this.note(note);
    this.log(renderStartedServer(started));
    return started;
  }

  private async start(flags: CommandFlags<typeof ServerStart>): Promise<StartedServer> {
    const { composeServerHost } = await import('../../server/compose-host.ts');
    const { startServerOnHost } = await import('../../server/host/start-server.ts');
    const context = contextFromFlags('server', flags, process.env);
    const host = await composeServerHost(this.config.root);
    const databaseUri = process.env.VANTAGE6_DB_URI || undefined;
    const config = parseServerConfig(
      await host.files.readConfig(context.configFile),
      context.configFile,
      { uri: databaseUri },
    );
    const container = this.container(host, flags, databaseUri);
    if (container !== undefined)
      for (const line of containerWarnings(config, container.network)) this.note(line);
    const address = { ip: flags.ip ?? config.ip, port: flags.port ?? config.port };
    this.note(`Starting the server ${context.name} …`);
    return withInterrupt((signal) =>
      startServerOnHost(host, {
        context,
        config,
        address,
        container,
        waitMs: flags.wait * 1000,
        signal,
      }),
    );
  }

  /** Undefined: as a process. */
  private container(
    host: ServerHost,
    flags: CommandFlags<typeof ServerStart>,
    databaseUri: string | undefined,
  ) {
    if (flags.detached) return undefined;
    if (host.engine === undefined && host.engineProblem === undefined) {
      this.note('There is no container engine here: the server becomes a process of its own.');
      return undefined;
    }
    refuseSecretInEnvironment(databaseUri);
    const image = flags.image ?? host.image();
    return { image, user: host.user, network: flags.network, databaseUri };
  }
}
