import { Args, Flags } from '@oclif/core';
import { V6Command } from '../../cli/base-command.ts';
import { confirmOrYes, yesFlag } from '../../cli/confirm.ts';
import { hostFolders } from '../../cli/context.ts';

interface ForgottenKey {
  readonly organization: number;
  /** False: nothing was known of it. */
  readonly forgotten: boolean;
}

export default class KeysForget extends V6Command<ForgottenKey> {
  static override summary = 'forget which public key of an organization is trusted';
  static override description =
    'The next key that the server gives for the organization is trusted as the first one.';
  static override examples = ['<%= config.bin %> keys forget 3'];
  static override args = {
    organization: Args.integer({ description: 'id of the organization', required: true, min: 1 }),
  };
  static override flags = {
    login: Flags.string({ description: 'login to use; the current one by default' }),
    ...yesFlag,
  };

  async run(): Promise<ForgottenKey> {
    const { args, flags } = await this.parse(KeysForget);
    const { organization } = args;
    const { composeUserSide } = await import('../../diagnose/compose.ts');
    const side = await composeUserSide(hostFolders(process.env));
    const pins = side.pins(await side.logins.get(flags.login));
    await confirmOrYes({
      message: `Trust any next key of organization ${organization}?`,
      flags,
      isQuiet: this.jsonEnabled(),
    });
    const forgotten = await pins.forget(organization);
    this.log(
      forgotten
        ? `The key of organization ${organization} is forgotten.`
        : `No key of organization ${organization} is known.`,
    );
    return { organization, forgotten };
  }
}
