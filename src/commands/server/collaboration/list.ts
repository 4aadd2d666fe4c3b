import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags } from '../../../cli/context.ts';
import { renderCollaborations } from '../../../cli/render/server-admin.ts';
import { adminInput } from '../../../cli/server-context.ts';
import type { ShownCollaboration } from '../../../server/admin/parties.ts';

export default class ServerCollaborationList extends V6Command<{
  collaborations: readonly ShownCollaboration[];
}> {
  static override summary = 'list the collaborations of a server';
  static override examples = ['<%= config.bin %> <%= command.id %> --name trial --json'];
  static override flags = { ...contextFlags };

  async run(): Promise<{ collaborations: readonly ShownCollaboration[] }> {
    const { flags } = await this.parse(ServerCollaborationList);
    const { listCollaborations } = await import('../../../server/admin/parties.ts');
    const { withServerAdmin } = await import('../../../server/compose-admin.ts');
    const collaborations = await withServerAdmin(adminInput(flags, process.env), ({ store }) =>
      listCollaborations(store),
    );
    this.log(renderCollaborations(collaborations));
    return { collaborations };
  }
}
