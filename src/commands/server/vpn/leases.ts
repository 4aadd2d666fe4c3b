import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags } from '../../../cli/context.ts';
import { renderLeases } from '../../../cli/render/server-vpn.ts';
import { adminInput } from '../../../cli/server-context.ts';
import type { ShownLeases } from '../../../server/admin/vpn-leases.ts';

export default class ServerVpnLeases extends V6Command<ShownLeases> {
  static override summary = 'list which nodes hold a VPN configuration, and until when';
  static override examples = ['<%= config.bin %> <%= command.id %> --name trial --json'];
  static override flags = { ...contextFlags };

  async run(): Promise<ShownLeases> {
    const { flags } = await this.parse(ServerVpnLeases);
    const { withVpnAdmin } = await import('../../../server/compose-vpn.ts');
    const { showLeases } = await import('../../../server/admin/vpn-leases.ts');
    const leases = await withVpnAdmin(adminInput(flags, process.env), ({ vpn }) =>
      showLeases(vpn, new Date()),
    );
    this.log(renderLeases(leases));
    return leases;
  }
}
