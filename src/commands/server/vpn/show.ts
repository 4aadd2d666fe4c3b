import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags } from '../../../cli/context.ts';
import { hiddenSettings, renderSettings } from '../../../cli/render/server-vpn.ts';
import { adminInput } from '../../../cli/server-context.ts';

interface ShownSettings {
  readonly file: string;
  readonly settings: Readonly<Record<string, string>>;
}

export default class ServerVpnShow extends V6Command<ShownSettings> {
  static override summary = "show the VPN portal in the server's configuration, secrets hidden";
  static override examples = ['<%= config.bin %> <%= command.id %> --name trial --json'];
  static override flags = { ...contextFlags };

  async run(): Promise<ShownSettings> {
    const { flags } = await this.parse(ServerVpnShow);
    const { readPortal } = await import('../../../server/compose-vpn.ts');
    const input = adminInput(flags, process.env);
    const file = input.context.configFile;
    const settings = hiddenSettings((await readPortal(input)).settings);
    this.log(renderSettings(file, settings));
    return { file, settings };
  }
}
