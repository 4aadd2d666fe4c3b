import { randomBytes } from 'node:crypto';
import { type CommandFlags, V6Command } from '../../cli/base-command.ts';
import { contextFlags, contextFromFlags } from '../../cli/context.ts';
import { readSecret } from '../../cli/login-prompt.ts';
import { newServerFlags, refusePasswordInUri } from '../../cli/new-server-flags.ts';
import type { LogLevelName } from '../../core/config/render-server-config.ts';
import type { Context } from '../../core/context.ts';
import { V6Error } from '../../core/errors.ts';
import type { NewServerSide } from '../../wizard/compose.ts';
import type { GivenServerConfig } from '../../wizard/new-server.ts';

interface NewServer {
  readonly name: string;
  readonly scope: string;
  readonly configFile: string;
  /** Octal, as `ls` and `chmod` have it. */
  readonly mode: string;
  /** Where the previous file is; null when there was none. */
  readonly backup: string | null;
}

export default class ServerNew extends V6Command<NewServer> {
  static override summary = 'write the configuration of a new server';
  static override description =
    'Asks on a terminal for what flags do not say; without one, or with --yes, the rest keeps safe defaults. The file is one that the Python server reads too. With a password or key in it, only its owner can read it.';
  static override examples = [
    '<%= config.bin %> <%= command.id %>',
    '<%= config.bin %> <%= command.id %> --name trial --port 7601 --description "Trial of 2030" --yes',
    '<%= config.bin %> <%= command.id %> --name trial --uri-stdin --yes < ./database-uri',
  ];
  static override flags = { ...contextFlags, ...newServerFlags };

  async run(): Promise<NewServer> {
    const { flags } = await this.parse(ServerNew);
    const { planNewServer } = await import('../../wizard/new-server.ts');
    const { composeNewServer } = await import('../../wizard/compose.ts');
    const mayAsk =
      !this.jsonEnabled() && !flags.yes && !flags['uri-stdin'] && !flags['jwt-secret-stdin'];
    const side = await composeNewServer({ mayAsk });
    const context = await this.context(flags, side);
    if (!flags.overwrite && (await side.file.isThere(context.configFile))) throw taken(context);
    const given = await givenBy(flags);
    const plan = await planNewServer({ name: context.name, given, prompter: side.prompter });
    await this.confirm(context, side);
    const mode = plan.hasSecrets ? 0o600 : 0o640;
    const { overwrite } = flags;
    const backup = await side.file.write(context.configFile, plan.text, { mode, overwrite });
    this.show(context, backup);
    const { name, scope, configFile } = context;
    return { name, scope, configFile, mode: mode.toString(8), backup: backup ?? null };
  }

  /** Which file: by flags, or by a name that is asked for. */
  private async context(
    flags: CommandFlags<typeof ServerNew>,
    { prompter }: NewServerSide,
  ): Promise<Context> {
    if (flags.name !== undefined || flags.config !== undefined)
      return contextFromFlags('server', flags, process.env);
    if (prompter === undefined) {
      throw new V6Error('V6_USAGE_MISSING_ANSWER', '--name is missing', {
        hints: ['Name the server with --name, or its file with --config.'],
      });
    }
    const typed = await prompter.text({
      message: 'Name of the server',
      preset: 'default',
      problem: (answer) =>
        /^[\w. -]{1,64}$/.test(answer) ? undefined : 'Letters, digits, dot, dash and underscore',
    });
    return contextFromFlags('server', { ...flags, name: typed.replaceAll(' ', '-') }, process.env);
  }

  private async confirm({ configFile }: Context, { prompter }: NewServerSide): Promise<void> {
    if (prompter === undefined || (await prompter.confirm(`Write ${configFile}?`))) return;
    throw new V6Error('V6_INTERRUPTED', 'Not confirmed: nothing was written');
  }

  private show({ name, scope, configFile }: Context, backup: string | undefined): void {
    this.log(`Wrote ${configFile}`);
    if (backup !== undefined) this.note(`The previous file is ${backup}.`);
    const which = `--name ${name}${scope === 'system' ? '' : ` --${scope}`}`;
    this.note(`Start it:            v6 server start ${which}`);
    this.note(`Give nodes a VPN:    v6 server vpn configure ${which}`);
  }
}

async function givenBy(flags: CommandFlags<typeof ServerNew>): Promise<GivenServerConfig> {
  refusePasswordInUri(flags.uri);
  const uri = await readSecret({
    name: 'uri',
    file: flags['uri-file'],
    stdin: flags['uri-stdin'],
    variable: { name: 'V6_DATABASE_URI_FILE', value: process.env.V6_DATABASE_URI_FILE },
  });
  const jwtSecret = await readSecret({
    name: 'jwt-secret',
    file: flags['jwt-secret-file'],
    stdin: flags['jwt-secret-stdin'],
    variable: { name: 'V6_JWT_SECRET_FILE', value: process.env.V6_JWT_SECRET_FILE },
  });
  const { 'tls-certificate': certificate, 'tls-key': key } = flags;
  return {
    description: flags.description,
    ip: flags.ip,
    port: flags.port,
    apiPath: flags['api-path'],
    uri: flags.uri ?? uri,
    serverUrl: flags['server-url'],
    twoFactor: flags['two-factor'],
    allowDropAll: flags['allow-drop-all'],
    logLevel: flags['log-level'] as LogLevelName | undefined,
    jwtSecretKey: flags['generate-jwt-secret'] ? randomBytes(32).toString('base64url') : jwtSecret,
    tls: certificate === undefined || key === undefined ? undefined : { certificate, key },
  };
}

function taken({ configFile }: Context): V6Error {
  return new V6Error('V6_CONFIG_WRITE', `${configFile} exists already`, {
    hints: ['Give another --name, or --overwrite: the file is kept with the ending .bak then.'],
    details: { file: configFile },
  });
}
