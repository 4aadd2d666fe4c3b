import { Args } from '@oclif/core';
import { V6Command } from '../../../cli/base-command.ts';
import { confirmOrYes, yesFlag } from '../../../cli/confirm.ts';
import { contextFlags } from '../../../cli/context.ts';
import { adminInput } from '../../../cli/server-context.ts';
import type { ShownUser } from '../../../server/admin/users.ts';

export default class ServerUserRemove extends V6Command<{ user: ShownUser }> {
  static override summary = 'remove a user from the database of a server';
  static override description =
    'Tokens and connections of the user end. Tasks that the user made stay.';
  static override examples = ['<%= config.bin %> <%= command.id %> ann --name trial --yes'];
  static override args = {
    username: Args.string({ description: 'name to log in with', required: true }),
  };
  static override flags = { ...contextFlags, ...yesFlag };

  async run(): Promise<{ user: ShownUser }> {
    const { flags, args } = await this.parse(ServerUserRemove);
    const { removeUser } = await import('../../../server/admin/users.ts');
    const { withServerAdmin } = await import('../../../server/compose-admin.ts');
    const { username } = args;
    const isQuiet = this.jsonEnabled();
    await confirmOrYes({ message: `Remove the user ${username}?`, flags, isQuiet });
    const user = await withServerAdmin(adminInput(flags, process.env), ({ store }) =>
      removeUser(store, username),
    );
    this.log(`The user ${username} is removed.`);
    return { user };
  }
}
