import { Args, Flags } from '@oclif/core';
import { V6Command } from '../../cli/base-command.ts';
import { confirmOrYes, yesFlag } from '../../cli/confirm.ts';
import { hostFolders } from '../../cli/context.ts';
import { plannedPin } from '../../core/crypto/judge-keys.ts';

interface TrustedKey {
  readonly organization: number;
  readonly fingerprint: string;
}

export default class KeysTrust extends V6Command<TrustedKey> {
  static override summary = 'trust a public key of an organization';
  static override description =
    'Lets this user encrypt for an organization whose key was replaced. Compare the fingerprint with that organization first, on another way than through the server.';
  static override examples = [
    '<%= config.bin %> keys trust 3',
    '<%= config.bin %> keys trust 3 --fingerprint 8c1f… --yes',
  ];
  static override args = {
    organization: Args.integer({ description: 'id of the organization', required: true, min: 1 }),
  };
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
    const pin = await plannedPin(pins, { organization, fingerprint, now: new Date() });
    const whose = pin.name === '' ? '' : ` (${pin.name})`;
    await confirmOrYes({
      message: `Trust the key ${pin.fingerprint} of organization ${organization}${whose}?`,
      flags,
      isQuiet: this.jsonEnabled(),
    });
    await pins.trust(pin);
    this.log(`The key ${pin.fingerprint} of organization ${organization} is trusted.`);
    return { organization, fingerprint: pin.fingerprint };
  }
}
