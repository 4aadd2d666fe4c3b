import { Flags } from '@oclif/core';
import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags, contextFromFlags } from '../../../cli/context.ts';
import { withInterrupt } from '../../../cli/interrupt.ts';
import { portalFlags, portalValuesFromFlags } from '../../../cli/portal-flags.ts';
import { type ConfiguredVpn, renderConfiguredVpn } from '../../../cli/render/configured-vpn.ts';
import { configureVpn, type VpnConfigPlan } from '../../../wizard/configure-vpn.ts';

export default class ServerVpnConfigure extends V6Command<ConfiguredVpn> {
  static override summary = "set the VPN portal in the server's configuration";
  static override description =
    `Writes the vpn_server block of the configuration file and leaves every other byte of it as it is; the previous file is kept beside it with the ending .bak. Before that it logs in to the portal with these settings, up to the list of profiles.

What neither flags nor the file say is asked on the terminal; without any of these flags everything is asked, the present values being the presets.`;
  static override examples = [
    '<%= config.bin %> <%= command.id %> --name trial',
    '<%= config.bin %> <%= command.id %> --name trial --url https://vpn.example.org --redirect-url http://localhost --client-id v6-server --client-secret-file ./secret --portal-username nodes --portal-password-file ./password',
    '<%= config.bin %> <%= command.id %> --name trial --portal-password-stdin --dry-run < ./password',
  ];
  static override flags = {
    ...contextFlags,
    ...portalFlags,
    'dry-run': Flags.boolean({
      description: 'show what would change, secrets hidden, and write nothing',
      default: false,
    }),
    check: Flags.boolean({
      description: 'log in to the portal before writing',
      allowNo: true,
      default: true,
    }),
  };

  async run(): Promise<ConfiguredVpn> {
    const { flags } = await this.parse(ServerVpnConfigure);
    const { configFile } = contextFromFlags('server', flags, process.env);
    const given = await portalValuesFromFlags(flags, process.env);
    const { composeConfigureVpn } = await import('../../../wizard/compose.ts');
    const side = await composeConfigureVpn({
      configFile,
      mayAsk:
        !this.jsonEnabled() && !flags['client-secret-stdin'] && !flags['portal-password-stdin'],
    });
    const isDryRun = flags['dry-run'];
    const plan = await withInterrupt((signal) =>
      configureVpn(side, {
        given,
        isChecked: flags.check,
        isConfirmed: !isDryRun,
        signal,
        onNote: (lines) => this.note(lines),
      }),
    );
    const isWritten = plan.isChanged && !isDryRun;
    const saved = isWritten ? await side.file.replace(plan.read, plan.text) : undefined;
    const done = toConfiguredVpn(configFile, plan, saved?.backup);
    this.log(renderConfiguredVpn(done, isDryRun));
    if (isWritten) this.noteMode(configFile, plan.read.mode);
    return done;
  }

  private noteMode(file: string, mode: number): void {
    if ((mode & 0o004) === 0) return;
    this.note(`Every user of this machine can read ${file}, and so its secrets: chmod o-r ${file}`);
  }
}

function toConfiguredVpn(
  file: string,
  plan: VpnConfigPlan,
  backup: string | undefined,
): ConfiguredVpn {
  const { isChanged, diff, settings, checked } = plan;
  return {
    file,
    changed: isChanged,
    written: backup !== undefined,
    backup: backup ?? null,
    diff,
    portal: checked === undefined ? null : { url: settings.url, profile: checked.profile },
  };
}
