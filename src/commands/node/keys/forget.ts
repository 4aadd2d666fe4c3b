import { V6Command } from '../../../cli/base-command.ts';
import { yesFlag } from '../../../cli/confirm.ts';
import { contextFlags, contextFromFlags } from '../../../cli/context.ts';
import { type ForgottenKey, forgetKey, organizationArg } from '../../../cli/trusted-keys.ts';

export default class NodeKeysForget extends V6Command<ForgottenKey> {
  static override summary = 'forget which public key of an organization is trusted';
  static override description =
    'The next key that the server gives for the organization is trusted as the first one, unless encryption.trust_on_first_use is false.';
  static override examples = ['<%= config.bin %> node keys forget 3 --name hospital-a'];
  static override args = organizationArg;
  static override flags = {
    ...contextFlags,
    ...yesFlag,
  };

  async run(): Promise<ForgottenKey> {
    const { args, flags } = await this.parse(NodeKeysForget);
    const { composeNodeKeys } = await import('../../../node/compose-keys.ts');
    const { pins } = await composeNodeKeys(contextFromFlags('node', flags, process.env));
    return forgetKey(pins, args.organization, {
      flags,
      isQuiet: this.jsonEnabled(),
      log: (line) => this.log(line),
    });
  }
}
