import { Args } from '@oclif/core';
import { V6Command } from '../../../cli/base-command.ts';
import { confirmOrYes, yesFlag } from '../../../cli/confirm.ts';
import { contextFlags } from '../../../cli/context.ts';
import { adminInput } from '../../../cli/server-context.ts';
import type { ShownUser } from '../../../server/admin/users.ts';

export default class ServerUserResetMfa extends V6Command<{ user: ShownUser }> {
  static override summary = 'take the second factor of a user away';
  static override description =
    'For a lost phone: the user sets a new one up at the next login. Tokens and connections of the user end.';
  static override examples = ['<%= config.bin %> <%= command.id %> ann --name trial --yes'];
  static override args = {
    username: Args.string({ description: 'name to log in with', required: true }),
  };
  static override flags = { ...contextFlags, ...yesFlag };

  async run(): Promise<{ user: ShownUser }> {
    const { flags, args } = await this.parse(ServerUserResetMfa);
    const { resetSecondFactor } = await import('../../../server/admin/users.ts');
    const { withServerAdmin } = await import('../../../server/compose-admin.ts');
    const { username } = args;
    const isQuiet = this.jsonEnabled();
    await confirmOrYes({ message: `Take the second factor of ${username} away?`, flags, isQuiet });
    const user = await withServerAdmin(adminInput(flags, process.env), ({ store }) =>
      resetSecondFactor(store, username),
    );
    this.log(`${username} sets up a new second factor at the next login.`);
    return { user };
  }
}
