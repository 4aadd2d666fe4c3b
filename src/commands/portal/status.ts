import { V6Command } from '../../cli/base-command.ts';
import { contextFromFlags, scopeFlags } from '../../cli/context.ts';
import { renderPortalStatus } from '../../cli/render/portal.ts';
import type { PortalStatus } from '../../portal/portal-status.ts';

export default class PortalStatusCommand extends V6Command<PortalStatus> {
  static override summary = 'show what of the embedded portal runs and who is connected';
  static override examples = ['<%= config.bin %> portal status --json'];
  static override flags = {
    ...scopeFlags,
  };

  async run(): Promise<PortalStatus> {
    const { flags } = await this.parse(PortalStatusCommand);
    const { composePortal } = await import('../../portal/compose.ts');
    const portal = await composePortal({ root: this.config.root });
    const status = await portal.status(contextFromFlags('portal', flags, process.env));
    this.log(renderPortalStatus(status));
    return status;
  }
}
