import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags } from '../../../cli/context.ts';
import { withInterrupt } from '../../../cli/interrupt.ts';
import { renderCheckedStep } from '../../../cli/render/server-vpn.ts';
import { adminInput } from '../../../cli/server-context.ts';
import { ERROR_CATALOGUE } from '../../../core/errors.ts';
import type { CheckedStep } from '../../../server/admin/vpn-check.ts';

interface CheckedVpn {
  readonly file: string;
  readonly url: string;
  readonly ok: boolean;
  readonly steps: readonly CheckedStep[];
}

export default class ServerVpnCheck extends V6Command<CheckedVpn> {
  static override summary = 'try every step between the server and its VPN portal';
  static override description =
    'Discovery, login with account and client, the profile that nodes will get, and how many configurations the portal allows. No configuration is asked for, because that could end the one of a node. Exit status: that of the step that failed.';
  static override examples = ['<%= config.bin %> <%= command.id %> --name trial'];
  static override flags = { ...contextFlags };

  async run(): Promise<CheckedVpn> {
    const { flags } = await this.parse(ServerVpnCheck);
    const { readPortal } = await import('../../../server/compose-vpn.ts');
    const { checkPortal } = await import('../../../server/admin/vpn-check.ts');
    const input = adminInput(flags, process.env);
    const { settings, portal } = await readPortal(input);
    const steps = await withInterrupt((signal) =>
      checkPortal(portal, { signal, onStep: (step) => this.log(renderCheckedStep(step)) }),
    );
    const failed = steps.find(({ error }) => error !== null)?.error ?? undefined;
    // A failed step is a result: the document is printed whole.
    if (failed !== undefined) process.exitCode = ERROR_CATALOGUE[failed.code].exitCode;
    const file = input.context.configFile;
    return { file, url: settings.url, ok: failed === undefined, steps };
  }
}
