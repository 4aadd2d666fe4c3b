import { Args, Flags } from '@oclif/core';
import { V6Command } from '../../cli/base-command.ts';
import { contextFromFlags, scopeFlags } from '../../cli/context.ts';
import type { RevokedNode } from '../../portal/interfaces/portal-admin.ts';

export default class PortalRevoke extends V6Command<RevokedNode> {
  static override summary = "end a node's VPN certificate at once";
  static override description =
    'Cuts the live tunnel and refuses the certificate from now on. The node keeps its tunnel address for its next certificate, unless --release gives that back.';
  static override examples = ['<%= config.bin %> portal revoke alpha'];
  static override args = {
    node: Args.string({ description: 'name of the node', required: true, ignoreStdin: true }),
  };
  static override flags = {
    ...scopeFlags,
    release: Flags.boolean({ description: 'also give its tunnel address back', default: false }),
  };

  async run(): Promise<RevokedNode> {
    const { args, flags } = await this.parse(PortalRevoke);
    const { composePortal } = await import('../../portal/compose.ts');
    const portal = await composePortal({ root: this.config.root });
    const result = await portal.revoke(contextFromFlags('portal', flags, process.env), {
      node: args.node,
      release: flags.release,
    });
    const sessions =
      result.sessionsCut === null
        ? 'live sessions end as soon as the VPN server answers'
        : `live sessions cut: ${result.sessionsCut}`;
    this.log(
      `${result.node}: certificates ended: ${result.certificates}, ${sessions}; address ${result.address} ${result.released ? 'released' : 'kept'}.`,
    );
    return result;
  }
}
