import { Flags } from '@oclif/core';
import { V6Command } from '../cli/base-command.ts';
import { hostFolders } from '../cli/context.ts';

interface LogoutResult {
  readonly login: string;
  /** The login that is current now. */
  readonly current: string | null;
}

export default class Logout extends V6Command<LogoutResult> {
  static override summary = 'forget a login';
  static override description =
    'Removes the tokens of a login from this machine. The login that was current before it is current again.';
  static override examples = ['<%= config.bin %> logout', '<%= config.bin %> logout --login trial'];
  static override flags = {
    login: Flags.string({ description: 'login to forget; the current one by default' }),
  };

  async run(): Promise<LogoutResult> {
    const { flags } = await this.parse(Logout);
    const { composeUserSide } = await import('../diagnose/compose.ts');
    const { logins } = await composeUserSide(hostFolders(process.env));
    const { name } = await logins.get(flags.login);
    await logins.remove(name);
    const current = (await logins.find())?.name ?? null;
    this.log(
      `Forgot login ${name}. ${current === null ? 'Nobody is logged in.' : `Current login: ${current}.`}`,
    );
    return { login: name, current };
  }
}
