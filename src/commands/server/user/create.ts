import { Args, Flags } from '@oclif/core';
import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags } from '../../../cli/context.ts';
import { newPassword, passwordFlags } from '../../../cli/password-input.ts';
import { adminInput } from '../../../cli/server-context.ts';
import type { ShownUser } from '../../../server/admin/users.ts';

interface CreatedUser {
  readonly user: ShownUser;
  /** 0600; null when the password was given. */
  readonly passwordFile: string | null;
}

export default class ServerUserCreate extends V6Command<CreatedUser> {
  static override summary = 'make a user in the database of a server';
  static override description =
    'Works on the database itself, whether the server runs or not. Without a password flag the password is asked for.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> ann --name trial --organization North --role Researcher --generate-password',
    '<%= config.bin %> <%= command.id %> admin --name trial --organization root --role Root --password-stdin < ./password',
  ];
  static override args = {
    username: Args.string({ description: 'name to log in with', required: true }),
  };
  static override flags = {
    ...contextFlags,
    organization: Flags.string({
      char: 'o',
      description: 'name or number of the organization',
      required: true,
    }),
    role: Flags.string({
      description: 'name of a role, for example Researcher or Root (may be given several times)',
      multiple: true,
      multipleNonGreedy: true,
      required: true,
    }),
    email: Flags.string({ description: 'mail address' }),
    firstname: Flags.string({ description: 'first name' }),
    lastname: Flags.string({ description: 'last name' }),
    ...passwordFlags,
  };

  async run(): Promise<CreatedUser> {
    const { flags, args } = await this.parse(ServerUserCreate);
    const { createUser } = await import('../../../server/admin/users.ts');
    const { keepPassword, withServerAdmin } = await import('../../../server/compose-admin.ts');
    const { username } = args;
    const isQuiet = this.jsonEnabled();
    const given = await newPassword(flags, process.env, { username, isQuiet });
    const { organization, role: roles, email, firstname, lastname } = flags;
    const done = await withServerAdmin(adminInput(flags, process.env), (admin) =>
      keepPassword(admin, { username, given }, (password) =>
        createUser(admin.store, {
          username,
          organization,
          roles,
          email,
          firstname,
          lastname,
          password,
        }),
      ),
    );
    this.log(`The user ${username} of ${done.user.organization} can log in.`);
    if (done.passwordFile !== null) this.log(`Password: ${done.passwordFile}`);
    return done;
  }
}
