import { Args } from '@oclif/core';
import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags } from '../../../cli/context.ts';
import { newPassword, passwordFlags } from '../../../cli/password-input.ts';
import { adminInput } from '../../../cli/server-context.ts';
import type { ShownUser } from '../../../server/admin/users.ts';

interface ResetPassword {
  readonly user: ShownUser;
  /** 0600; null when the password was given. */
  readonly passwordFile: string | null;
}

export default class ServerUserResetPassword extends V6Command<ResetPassword> {
  static override summary = 'set the password of a user anew';
  static override description =
    'All tokens and connections of the user end, and failed logins are forgotten. Without a password flag the password is asked for.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> root --name trial --generate-password',
    '<%= config.bin %> <%= command.id %> ann --name trial --password-file ./password',
  ];
  static override args = {
    username: Args.string({ description: 'name to log in with', required: true }),
  };
  static override flags = { ...contextFlags, ...passwordFlags };

  async run(): Promise<ResetPassword> {
    const { flags, args } = await this.parse(ServerUserResetPassword);
    const { resetPassword } = await import('../../../server/admin/users.ts');
    const { keepPassword, withServerAdmin } = await import('../../../server/compose-admin.ts');
    const { username } = args;
    const isQuiet = this.jsonEnabled();
    const given = await newPassword(flags, process.env, { username, isQuiet });
    const done = await withServerAdmin(adminInput(flags, process.env), (admin) =>
      keepPassword(admin, { username, given }, (password) =>
        resetPassword(admin, username, password),
      ),
    );
    this.log(`The password of ${username} is set; its tokens have ended.`);
    if (done.passwordFile !== null) this.log(`Password: ${done.passwordFile}`);
    return done;
  }
}
