import { Flags } from '@oclif/core';
import { V6Command } from '../../../cli/base-command.ts';
import { yesFlag } from '../../../cli/confirm.ts';
import { contextFlags, contextFromFlags } from '../../../cli/context.ts';
import { organizationArg, type TrustedKey, trustKey } from '../../../cli/trusted-keys.ts';
import { V6Error } from '../../../core/errors.ts';

export default class NodeKeysTrust extends V6Command<TrustedKey> {
  static override summary = 'trust a public key of an organization';
  static override description =
    'Lets a node encrypt for an organization whose key was replaced. Compare the fingerprint with that organization first, on another way than through the server. A running node takes it at once.';
  static override examples = [
    '<%= config.bin %> node keys trust 3 --name hospital-a',
    '<%= config.bin %> node keys trust 3 --fingerprint 8c1f… --yes',
  ];
  static override args = organizationArg;
  static override flags = {
    ...contextFlags,
    fingerprint: Flags.string({
      description: 'SHA-256 of the key, 64 hex digits; default: the key that was refused last',
    }),
    ...yesFlag,
  };

  async run(): Promise<TrustedKey> {
    const { args, flags } = await this.parse(NodeKeysTrust);
    const { organization } = args;
    const { composeNodeKeys } = await import('../../../node/compose-keys.ts');
    const { pins, pinned } = await composeNodeKeys(contextFromFlags('node', flags, process.env));
    if (pinned.has(organization)) {
      throw new V6Error(
        'V6_USAGE',
        `The key of organization ${organization} is given by the configuration`,
        {
          hints: ['Change encryption.pinned_keys, and start the node again.'],
        },
      );
    }
    const { fingerprint } = flags;
    return trustKey(
      pins,
      { organization, fingerprint },
      {
        flags,
        isQuiet: this.jsonEnabled(),
        log: (line) => this.log(line),
      },
    );
  }
}
