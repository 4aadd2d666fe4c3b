import { Flags } from '@oclif/core';
import { V6Command } from '../../cli/base-command.ts';
import { hostFolders } from '../../cli/context.ts';
import { renderKeys } from '../../cli/render/keys.ts';
import { type ListedKey, listKeys } from '../../core/crypto/judge-keys.ts';

interface UserKeys {
  readonly organizations: readonly ListedKey[];
}

export default class KeysList extends V6Command<UserKeys> {
  static override summary = 'list the public keys of organizations that this user trusts';
  static override description =
    'Keys are pinned by server at their first use: those of the server of the login are shown, with those that were refused.';
  static override examples = ['<%= config.bin %> keys list'];
  static override flags = {
    login: Flags.string({ description: 'login to use; the current one by default' }),
  };

  async run(): Promise<UserKeys> {
    const { flags } = await this.parse(KeysList);
    const { composeUserSide } = await import('../../diagnose/compose.ts');
    const side = await composeUserSide(hostFolders(process.env));
    const pins = side.pins(await side.logins.get(flags.login));
    const organizations = await listKeys(pins);
    this.log(renderKeys(organizations));
    return { organizations };
  }
}
