import { V6Command } from '../../../cli/base-command.ts';
import { contextFlags, contextFromFlags } from '../../../cli/context.ts';
import { renderKeys } from '../../../cli/render/keys.ts';
import { type ListedKey, listKeys } from '../../../core/crypto/judge-keys.ts';

interface NodeKeys {
  readonly own: { readonly file: string; readonly fingerprint: string } | null;
  readonly organizations: readonly ListedKey[];
}

export default class NodeKeysList extends V6Command<NodeKeys> {
  static override summary = 'list the public keys that a node trusts';
  static override description =
    'Shows the fingerprint of the own key, and of the key of every organization that the node has encrypted for, with those that were refused. The same fingerprint: openssl rsa -in KEY -pubout -outform DER | sha256sum';
  static override examples = ['<%= config.bin %> node keys list --name hospital-a'];
  static override flags = { ...contextFlags };

  async run(): Promise<NodeKeys> {
    const { flags } = await this.parse(NodeKeysList);
    const { composeNodeKeys } = await import('../../../node/compose-keys.ts');
    const keys = await composeNodeKeys(contextFromFlags('node', flags, process.env));
    const own = await keys.own();
    const organizations = await listKeys(keys.pins, keys.pinned);
    this.log(own === null ? 'The node does not encrypt.' : `Own key: ${own.fingerprint}`);
    this.log(renderKeys(organizations));
    return { own, organizations };
  }
}
