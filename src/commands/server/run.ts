import { readFile } from 'node:fs/promises';
import { Flags } from '@oclif/core';
import { V6Command } from '../../cli/base-command.ts';
import { contextFlags, contextFromFlags } from '../../cli/context.ts';
import { parseServerConfig, type ServerConfig } from '../../core/config/server-config.ts';
import type { Context } from '../../core/context.ts';
import { V6Error } from '../../core/errors.ts';

interface ServerRan {
  readonly url: string;
  readonly stoppedBy: NodeJS.Signals;
}

export default class ServerRun extends V6Command<ServerRan> {
  static override summary = 'Run the coordination server in the foreground.';
  static override description =
    'Logs JSON lines to stderr, the first one with its address when it is ready, and ends on SIGTERM or SIGINT. ' +
    'At the first start it makes the database and a user root; where its password is, is logged.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --name default',
    '<%= config.bin %> <%= command.id %> --config ./server.yaml --port 7602',
  ];
  static override flags = {
    ...contextFlags,
    ip: Flags.string({ description: 'address to listen on; wins over the file' }),
    port: Flags.integer({
      description: 'port to listen on; wins over the file',
      min: 1,
      max: 65_535,
    }),
    'log-file': Flags.string({
      description: 'where the output goes, for `v6 server logs`; who starts the process sees to it',
      hidden: true,
    }),
  };

  async run(): Promise<ServerRan> {
    const { flags } = await this.parse(ServerRun);
    const context = contextFromFlags('server', flags, process.env);
    const file = await readConfig(context);
    const config: ServerConfig = {
      ...file,
      ip: flags.ip ?? file.ip,
      port: flags.port ?? file.port,
    };
    const { keepHeapSmall } = await import('../../server/memory.ts');
    keepHeapSmall();
    const { startServer } = await import('../../server/compose.ts');
    const { announceServer } = await import('../../server/compose-host.ts');
    const stopped = nextSignal();
    const server = await startServer({ config, dataDir: context.dataDir });
    const leave = await announceServer(context, { url: server.url, logFile: flags['log-file'] });
    process.on('SIGHUP', () => server.reload());
    const stoppedBy = await stopped;
    await server.stop();
    await leave();
    return { url: server.url, stoppedBy };
  }
}

async function readConfig({ configFile }: Context): Promise<ServerConfig> {
  let text: string;
  try {
    text = await readFile(configFile, 'utf8');
  } catch (error) {
    throw new V6Error('V6_CONFIG_NOT_FOUND', `${configFile} cannot be read`, {
      cause: error,
      hints: [
        'Name the file with --config, or the configuration with --name and --user or --system.',
      ],
      details: { file: configFile },
    });
  }
  return parseServerConfig(text, configFile, { uri: process.env.VANTAGE6_DB_URI || undefined });
}

const END_SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/** Resolves at the first signal that asks to end; a second one of either kind ends at once, as usual. */
function nextSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const end = (signal: NodeJS.Signals): void => {
      for (const one of END_SIGNALS) process.off(one, end);
      resolve(signal);
    };
    for (const signal of END_SIGNALS) process.on(signal, end);
  });
}
