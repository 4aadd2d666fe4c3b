import { Flags } from '@oclif/core';
import { V6Command } from '../../cli/base-command.ts';
import { contextFromFlags, scopeFlags } from '../../cli/context.ts';
import { withInterrupt } from '../../cli/interrupt.ts';

export default class PortalRun extends V6Command<void> {
  static override summary = 'run the portal in the foreground (what its container does)';
  static override description =
    'Serves what `v6 portal start` wrote, until SIGTERM or Ctrl-C. Writes JSON lines to stderr. The VPN server is another process.';
  static override examples = ['<%= config.bin %> portal run --settings ./portal.json'];
  static override flags = {
    ...scopeFlags,
    settings: Flags.string({ description: 'file that `v6 portal start` wrote' }),
  };

  async run(): Promise<void> {
    const { flags } = await this.parse(PortalRun);
    const { portalPaths } = await import('../../portal/settings.ts');
    const settingsFile =
      flags.settings ?? portalPaths(contextFromFlags('portal', flags, process.env)).settings;
    const { composePortal } = await import('../../portal/compose.ts');
    const portal = await composePortal({ root: this.config.root });
    await withInterrupt((signal) => portal.run({ settingsFile, signal }));
  }
}
