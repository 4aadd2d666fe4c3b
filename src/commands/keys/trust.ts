import { Flags } from '@oclif/core';
import { V6Command } from '../../cli/base-command.ts';
import { yesFlag } from '../../cli/confirm.ts';
import { hostFolders } from '../../cli/context.ts';
import { organizationArg, type TrustedKey, trustKey } from '../../cli/trusted-keys.ts';

export default class KeysTrust extends V6Command<TrustedKey> {
  static override summary = 'trust a public key of an organization';
  static override description =
    'Lets this user encrypt for an organization whose key was replaced. Compare the fingerprint with that organization first, on another way than through the server.';
  static override examples = [
    '<%= config.bin %> keys trust 3',
    '<%= config.bin %> keys trust 3 --fingerprint 8c1f… --yes',
  ];
  static override args = organizationArg;
  static override flags = {
    login: Flags.string({ description: 'login to use; the current one by default' }),
    fingerprint: Flags.string({
      description: 'SHA-256 of the key, 64 hex digits; default: the key that was refused last',
    }),
    ...yesFlag,
  };

  async run(): Promise<TrustedKey> {
    const { args, flags } = await this.parse(KeysTrust);
    const { organization } = args;
    const { composeUserSide } = await import('../../diagnose/compose.ts');
    const side = await composeUserSide(hostFolders(process.env));
    const pins = side.pins(await side.logins.get(flags.login));
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
