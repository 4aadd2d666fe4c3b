import { Args } from '@oclif/core';
import { V6Command } from '../../../cli/base-command.ts';
import { confirmOrYes, yesFlag } from '../../../cli/confirm.ts';
import { contextFlags, contextFromFlags } from '../../../cli/context.ts';

interface ForgottenKey {
  readonly organization: number;
  /** False: nothing was known of it. */
  readonly forgotten: boolean;
}

export default class NodeKeysForget extends V6Command<ForgottenKey> {
  static override summary = 'forget which public key of an organization is trusted';
  static override description =
    'The next key that the server gives for the organization is trusted as the first one, unless encryption.trust_on_first_use is false.';
  static override examples = ['<%= config.bin %> node keys forget 3 --name hospital-a'];
  static override args = {
    organization: Args.integer({ description: 'id of the organization', required: true, min: 1 }),
  };
  static override flags = {
    ...contextFlags,
    ...yesFlag,
  };

  async run(): Promise<ForgottenKey> {
    const { args, flags } = await this.parse(NodeKeysForget);
    const { organization } = args;
    const { composeNodeKeys } = await import('../../../node/compose-keys.ts');
    const { pins } = await composeNodeKeys(contextFromFlags('node', flags, process.env));
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
