import { Args, Flags } from '@oclif/core';
import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags } from '../../../cli/context.ts';
import { adminInput } from '../../../cli/server-context.ts';
import type { ShownCollaboration } from '../../../server/admin/parties.ts';

export default class ServerCollaborationCreate extends V6Command<{
  collaboration: ShownCollaboration;
}> {
  static override summary = 'make a collaboration in the database of a server';
  static override examples = [
    '<%= config.bin %> <%= command.id %> Trial --name trial --organization North --organization South',
  ];
  static override args = {
    collaboration: Args.string({ description: 'its name', required: true }),
  };
  static override flags = {
    ...contextFlags,
    organization: Flags.string({
      char: 'o',
      description: 'name or number of a member (may be given several times)',
      multiple: true,
      multipleNonGreedy: true,
      default: [],
    }),
    encrypted: Flags.boolean({
      description: 'inputs and results are encrypted for their receivers',
      allowNo: true,
      default: true,
    }),
  };

  async run(): Promise<{ collaboration: ShownCollaboration }> {
    const { flags, args } = await this.parse(ServerCollaborationCreate);
    const { createCollaboration } = await import('../../../server/admin/parties.ts');
    const { withServerAdmin } = await import('../../../server/compose-admin.ts');
    const { encrypted, organization: organizations } = flags;
    const collaboration = await withServerAdmin(adminInput(flags, process.env), ({ store }) =>
      createCollaboration(store, { name: args.collaboration, encrypted, organizations }),
    );
    this.log(`The collaboration ${collaboration.name} has the number ${collaboration.id}.`);
    return { collaboration };
  }
}
