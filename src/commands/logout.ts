import { Flags } from '@oclif/core';
import { V6Command } from '../cli/base-command.ts';
import { hostFolders } from '../cli/context.ts';
import { isV6Error } from '../core/errors.ts';

interface LogoutResult {
  readonly login: string;
  /** The login that is current now. */
  readonly current: string | null;
  /** Whether the server ended the session; false for a Python server, which cannot. */
  readonly ended: boolean;
}

export default class Logout extends V6Command<LogoutResult> {
  static override summary = 'forget a login';
  static override description =
    'Ends the session at the server, and removes its tokens from this machine, also when the server cannot be asked. The login that was current before it is current again.';
  static override examples = ['<%= config.bin %> logout', '<%= config.bin %> logout --login trial'];
  static override flags = {
    login: Flags.string({ description: 'login to forget; the current one by default' }),
  };

  async run(): Promise<LogoutResult> {
    const { flags } = await this.parse(Logout);
    const { composeUserSide } = await import('../diagnose/compose.ts');
    const side = await composeUserSide(hostFolders(process.env));
    const { logins } = side;
    const login = await logins.get(flags.login);
    const { name } = login;
    const ended = await side.endSession(login).catch((error: unknown) => {
      if (!isV6Error(error)) throw error;
      const hints = ['The session goes on at the server until its tokens run out.', ...error.hints];
      this.warnWith({ code: error.code, message: error.message, hints });
      return false;
    });
    await logins.remove(name);
    const current = (await logins.find())?.name ?? null;
    this.log(
      `Forgot login ${name}. ${current === null ? 'Nobody is logged in.' : `Current login: ${current}.`}`,
    );
    return { login: name, current, ended };
  }
}
