import { Args } from '@oclif/core';
import { V6Command } from '../../../cli/base-command.ts';
import { confirmOrYes, yesFlag } from '../../../cli/confirm.ts';
import { contextFlags } from '../../../cli/context.ts';
import { adminInput } from '../../../cli/server-context.ts';

interface RevokedVpn {
  readonly node: number;
  readonly name: string;
}

export default class ServerVpnRevoke extends V6Command<RevokedVpn> {
  static override summary = 'take the VPN from a node';
  static override description =
    'Ends its configuration at the portal, and with it a tunnel that is up. The node runs on without VPN and gets none until `v6 server vpn allow`. A portal with API v2 alone cannot end a configuration: it works until its end.';
  static override examples = ['<%= config.bin %> <%= command.id %> "North - Trial Node" --yes'];
  static override args = {
    node: Args.string({ description: 'name or number of the node', required: true }),
  };
  static override flags = { ...contextFlags, ...yesFlag };

  async run(): Promise<RevokedVpn> {
    const { flags, args } = await this.parse(ServerVpnRevoke);
    const { withVpnAdmin } = await import('../../../server/compose-vpn.ts');
    const { getNodeBy } = await import('../../../server/admin/lookups.ts');
    const isQuiet = this.jsonEnabled();
    await confirmOrYes({ message: `Take the VPN from the node ${args.node}?`, flags, isQuiet });
    const { id, name } = await withVpnAdmin(
      adminInput(flags, process.env),
      async ({ vpn, store }) => {
        const found = await getNodeBy(store, args.node);
        await vpn.revoke(found.id);
        return found;
      },
    );
    this.log(`The node ${name} has no VPN until it is allowed again: v6 server vpn allow ${id}`);
    return { node: id, name };
  }
}
