import { Flags } from '@oclif/core';
import { V6Command } from '../../cli/base-command.ts';
import { yesFlag } from '../../cli/confirm.ts';
import { hostFolders } from '../../cli/context.ts';
import { type ForgottenKey, forgetKey, organizationArg } from '../../cli/trusted-keys.ts';

export default class KeysForget extends V6Command<ForgottenKey> {
  static override summary = 'forget which public key of an organization is trusted';
  static override description =
    'The next key that the server gives for the organization is trusted as the first one.';
  static override examples = ['<%= config.bin %> keys forget 3'];
  static override args = organizationArg;
  static override flags = {
    login: Flags.string({ description: 'login to use; the current one by default' }),
    ...yesFlag,
  };

  async run(): Promise<ForgottenKey> {
    const { args, flags } = await this.parse(KeysForget);
    const { composeUserSide } = await import('../../diagnose/compose.ts');
    const side = await composeUserSide(hostFolders(process.env));
    const pins = side.pins(await side.logins.get(flags.login));
    return forgetKey(pins, args.organization, {
      flags,
      isQuiet: this.jsonEnabled(),
      log: (line) => this.log(line),
    });
  }
}
