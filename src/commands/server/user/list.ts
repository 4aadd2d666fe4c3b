import { Flags } from '@oclif/core';
import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags } from '../../../cli/context.ts';
import { renderUsers } from '../../../cli/render/server-admin.ts';
import { adminInput } from '../../../cli/server-context.ts';
import type { ShownUser } from '../../../server/admin/users.ts';

export default class ServerUserList extends V6Command<{ users: readonly ShownUser[] }> {
  static override summary = 'list the users of a server';
  static override examples = ['<%= config.bin %> <%= command.id %> --name trial --json'];
  static override flags = {
    ...contextFlags,
    organization: Flags.string({
      char: 'o',
      description: 'only of this organization: its name or number',
    }),
  };

  async run(): Promise<{ users: readonly ShownUser[] }> {
    const { flags } = await this.parse(ServerUserList);
    const { listUsers } = await import('../../../server/admin/users.ts');
    const { withServerAdmin } = await import('../../../server/compose-admin.ts');
    const { organization } = flags;
    const users = await withServerAdmin(adminInput(flags, process.env), ({ store }) =>
      listUsers(store, { organization }),
    );
    this.log(renderUsers(users));
    return { users };
  }
}
