import { Args } from '@oclif/core';
import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags } from '../../../cli/context.ts';
import { adminInput } from '../../../cli/server-context.ts';

interface AllowedVpn {
  readonly node: number;
  readonly name: string;
}

export default class ServerVpnAllow extends V6Command<AllowedVpn> {
  static override summary = 'let a node have the VPN again';
  static override description =
    'Takes `v6 server vpn revoke` back; a node that may have it is left as it is. The node asks for a new configuration by itself within the hour, or at once with `v6 node vpn renew --force`.';
  static override examples = ['<%= config.bin %> <%= command.id %> "North - Trial Node"'];
  static override args = {
    node: Args.string({ description: 'name or number of the node', required: true }),
  };
  static override flags = { ...contextFlags };

  async run(): Promise<AllowedVpn> {
    const { flags, args } = await this.parse(ServerVpnAllow);
    const { withVpnAdmin } = await import('../../../server/compose-vpn.ts');
    const { getNodeBy } = await import('../../../server/admin/lookups.ts');
    const { id, name } = await withVpnAdmin(
      adminInput(flags, process.env),
      async ({ vpn, store }) => {
        const found = await getNodeBy(store, args.node);
        await vpn.allow(found.id);
        return found;
      },
    );
    this.log(`The node ${name} may have the VPN.`);
    return { node: id, name };
  }
}
