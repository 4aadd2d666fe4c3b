import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags } from '../../../cli/context.ts';
import { renderOrganizations } from '../../../cli/render/server-admin.ts';
import { adminInput } from '../../../cli/server-context.ts';
import type { ShownOrganization } from '../../../server/admin/parties.ts';

export default class ServerOrganizationList extends V6Command<{
  organizations: readonly ShownOrganization[];
}> {
  static override summary = 'list the organizations of a server';
  static override examples = ['<%= config.bin %> <%= command.id %> --name trial --json'];
  static override flags = { ...contextFlags };

  async run(): Promise<{ organizations: readonly ShownOrganization[] }> {
    const { flags } = await this.parse(ServerOrganizationList);
    const { listOrganizations } = await import('../../../server/admin/parties.ts');
    const { withServerAdmin } = await import('../../../server/compose-admin.ts');
    const organizations = await withServerAdmin(adminInput(flags, process.env), ({ store }) =>
      listOrganizations(store),
    );
    this.log(renderOrganizations(organizations));
    return { organizations };
  }
}
