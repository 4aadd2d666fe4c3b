import path from 'node:path';
import { Flags } from '@oclif/core';
import { V6Command } from '../cli/base-command.ts';
import { hostFolders } from '../cli/context.ts';
import { ask, readSecret } from '../cli/login-prompt.ts';
import { checkLoginName } from '../core/login-name.ts';
import type { Enrolment } from '../diagnose/interfaces/login-store.ts';

interface LoginResult {
  readonly login: string;
  readonly server: string;
  readonly username: string;
}

export default class Login extends V6Command<LoginResult> {
  static override summary = 'log in at a coordination server';
  static override description =
    'Stores tokens, never the password, in a file that only you can read, and makes this login the current one. Several logins live side by side under their names. What is missing is asked on the terminal.';
  static override examples = [
    '<%= config.bin %> login --server http://localhost:7601 --username researcher',
    '<%= config.bin %> login --login trial --password-file ./password',
  ];
  static override flags = {
    server: Flags.string({
      description: 'URL of the server; /api is added when the URL has no path',
    }),
    username: Flags.string({ description: 'name of the user' }),
    'password-file': Flags.string({
      description: 'file with the password in its first line (or V6_PASSWORD_FILE names it)',
      exclusive: ['password-stdin'],
    }),
    'password-stdin': Flags.boolean({ description: 'read the password from standard input' }),
    'mfa-code': Flags.string({
      description: 'code of the second factor, where the server asks for one; good once',
    }),
    'private-key': Flags.file({
      description:
        'private key of the organization, for encrypted collaborations; only its path is stored',
    }),
    login: Flags.string({
      description: 'name to keep this login under; a known name keeps its server and user',
      default: 'default',
    }),
  };

  async run(): Promise<LoginResult> {
    const { flags } = await this.parse(Login);
    const name = checkLoginName(flags.login);
    const { composeUserSide } = await import('../diagnose/compose.ts');
    const side = await composeUserSide(hostFolders(process.env));
    const known = await side.logins.find(name);
    const serverUrl =
      flags.server ?? known?.serverUrl ?? (await ask({ message: 'Server', flag: '--server' }));
    const username =
      flags.username ?? known?.username ?? (await ask({ message: 'User', flag: '--username' }));
    const password =
      (await readSecret({
        name: 'password',
        file: flags['password-file'],
        stdin: flags['password-stdin'],
        variable: { name: 'V6_PASSWORD_FILE', value: process.env.V6_PASSWORD_FILE },
      })) ??
      (await ask({ message: `Password of ${username}`, flag: '--password-file', isSecret: true }));
    const login = await side.logIn(
      { serverUrl, username, password, code: flags['mfa-code'] },
      undefined,
      (enrolment) => this.askCode(enrolment),
    );
    const keyFile = flags['private-key'];
    const privateKeyFile = keyFile === undefined ? undefined : path.resolve(keyFile);
    if (privateKeyFile !== undefined) await side.checkPrivateKey(privateKeyFile);
    await side.logins.save(name, {
      ...login,
      ...(privateKeyFile === undefined ? {} : { privateKeyFile }),
    });
    this.log(`Logged in at ${login.serverUrl} as ${username} (login ${name}).`);
    return { login: name, server: login.serverUrl, username };
  }

  /** A new secret is shown on the terminal only, where somebody is to use it. */
  private async askCode(enrolment: Enrolment | undefined): Promise<string> {
    if (enrolment !== undefined && process.stdin.isTTY) {
      this.note(`The server asks for a second factor. Add this to your authenticator app:`);
      this.note(`  ${enrolment.secret}\n  ${enrolment.uri}`);
    }
    return ask({ message: 'Code of the second factor', flag: '--mfa-code' });
  }
}
