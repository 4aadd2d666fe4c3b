import { Args, Flags } from '@oclif/core';
import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags } from '../../../cli/context.ts';
import { adminInput } from '../../../cli/server-context.ts';
import type { ShownNode } from '../../../server/admin/nodes.ts';

interface ResetKey {
  readonly node: ShownNode;
  /** 0600. */
  readonly keyFile: string;
}

export default class ServerNodeResetKey extends V6Command<ResetKey> {
  static override summary = 'give a node a new API key';
  static override description =
    'The old key, its tokens and its connection end. The new one is written to a file that only its owner can read, and is nowhere else.';
  static override examples = [
    '<%= config.bin %> <%= command.id %> "North - Trial Node" --name trial',
  ];
  static override args = {
    node: Args.string({ description: 'name or number of the node', required: true }),
  };
  static override flags = {
    ...contextFlags,
    'key-file': Flags.string({
      description: 'where to write the API key (default: in the data folder)',
    }),
  };

  async run(): Promise<ResetKey> {
    const { flags, args } = await this.parse(ServerNodeResetKey);
    const { resetNodeKey } = await import('../../../server/admin/nodes.ts');
    const { nodeAdmin, withServerAdmin } = await import('../../../server/compose-admin.ts');
    const done = await withServerAdmin(adminInput(flags, process.env), async (admin) => {
      const keeper = nodeAdmin(admin, { file: flags['key-file'], node: args.node });
      const node = await keeper.keeping((deps) => resetNodeKey(deps, args.node));
      return { node, keyFile: keeper.file };
    });
    this.log(`The node ${JSON.stringify(done.node.name)} has a new API key: ${done.keyFile}`);
    return done;
  }
}
