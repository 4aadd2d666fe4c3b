import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags } from '../../../cli/context.ts';
import { renderNodes } from '../../../cli/render/server-admin.ts';
import { adminInput } from '../../../cli/server-context.ts';
import type { ShownNode } from '../../../server/admin/nodes.ts';

export default class ServerNodeList extends V6Command<{ nodes: readonly ShownNode[] }> {
  static override summary = 'list the nodes of a server';
  static override examples = ['<%= config.bin %> <%= command.id %> --name trial --json'];
  static override flags = { ...contextFlags };

  async run(): Promise<{ nodes: readonly ShownNode[] }> {
    const { flags } = await this.parse(ServerNodeList);
    const { listNodes } = await import('../../../server/admin/nodes.ts');
    const { withServerAdmin } = await import('../../../server/compose-admin.ts');
    const nodes = await withServerAdmin(adminInput(flags, process.env), ({ store }) =>
      listNodes(store),
    );
    this.log(renderNodes(nodes));
    return { nodes };
  }
}
