import { Flags } from '@oclif/core';
import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags } from '../../../cli/context.ts';
import { adminInput } from '../../../cli/server-context.ts';
import type { ShownNode } from '../../../server/admin/nodes.ts';

interface CreatedNode {
  readonly node: ShownNode;
  /** 0600. */
  readonly keyFile: string;
}

export default class ServerNodeCreate extends V6Command<CreatedNode> {
  static override summary = 'make the node of an organization in a collaboration';
  static override description =
    'The organization joins the collaboration when it is not in it. The API key is written to a file that only its owner can read, and is nowhere else.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> --name trial --organization North --collaboration Trial',
  ];
  static override flags = {
    ...contextFlags,
    organization: Flags.string({
      char: 'o',
      description: 'name or number of the organization',
      required: true,
    }),
    collaboration: Flags.string({
      description: 'name or number of the collaboration',
      required: true,
    }),
    'node-name': Flags.string({
      description: 'name of the node (default: "ORGANIZATION - COLLABORATION Node")',
    }),
    'key-file': Flags.string({
      description: 'where to write the API key (default: in the data folder)',
    }),
  };

  async run(): Promise<CreatedNode> {
    const { flags } = await this.parse(ServerNodeCreate);
    const { addNode } = await import('../../../server/admin/nodes.ts');
    const { nodeAdmin, withServerAdmin } = await import('../../../server/compose-admin.ts');
    const { organization, collaboration, 'node-name': name, 'key-file': file } = flags;
    const done = await withServerAdmin(adminInput(flags, process.env), async (admin) => {
      const keeper = nodeAdmin(admin, { file, node: name ?? `${organization}-${collaboration}` });
      const node = await keeper.keeping((deps) =>
        addNode(deps, { organization, collaboration, name }),
      );
      return { node, keyFile: keeper.file };
    });
    this.log(`The node ${JSON.stringify(done.node.name)} can log in.`);
    this.log(`API key: ${done.keyFile}`);
    return done;
  }
}
