import { Args, Flags } from '@oclif/core';
import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags } from '../../../cli/context.ts';
import { adminInput } from '../../../cli/server-context.ts';
import type { ShownUser } from '../../../server/admin/users.ts';

export default class ServerUserUnlock extends V6Command<{ user: ShownUser }> {
  static override summary = 'let a user log in again after too many failed logins';
  static override description =
    'Failed logins are counted per address. Forgotten are those from addresses where the user is logged in, those from --address, and those from everywhere together. (Without this the wait ends by itself.)';
  static override examples = [
    '<%= config.bin %> <%= command.id %> ann --name trial --address 192.0.2.7',
  ];
  static override args = {
    username: Args.string({ description: 'name to log in with', required: true }),
  };
  static override flags = {
    ...contextFlags,
    address: Flags.string({
      description: 'address that the user logs in from (may be given several times)',
      multiple: true,
      multipleNonGreedy: true,
      default: [],
    }),
  };

  async run(): Promise<{ user: ShownUser }> {
    const { flags, args } = await this.parse(ServerUserUnlock);
    const { unlockUser } = await import('../../../server/admin/users.ts');
    const { withServerAdmin } = await import('../../../server/compose-admin.ts');
    const user = await withServerAdmin(adminInput(flags, process.env), (admin) =>
      unlockUser(admin, args.username, flags.address),
    );
    this.log(`The failed logins of ${args.username} are forgotten.`);
    return { user };
  }
}
