import path from 'node:path';
import { Flags } from '@oclif/core';
import { type CommandFlags, V6Command } from '../../cli/base-command.ts';
import { contextFlags, contextFromFlags, hostFolders } from '../../cli/context.ts';
import { ask } from '../../cli/login-prompt.ts';
import { V6Error } from '../../core/errors.ts';
import type { KeyRegistry, MadeKey } from '../../node/host/make-private-key.ts';

interface CreatedKey extends MadeKey {
  readonly organization: string;
}

interface Target {
  readonly organization: string;
  readonly registry?: KeyRegistry;
}

type KeyFlags = CommandFlags<typeof NodeCreatePrivateKey>;

export default class NodeCreatePrivateKey extends V6Command<CreatedKey> {
  static override summary = 'make the private key of an organization';
  static override description =
    'Writes privkey_ORGANIZATION.pem (RSA, 4096 bits, mode 0600), and stores its public half at the server in the name of the current login. All nodes and users of an organization use the same private key. A key that is there is kept and used; another key that the server has is never replaced without --replace-registered.';
  static override examples = [
    '<%= config.bin %> node create-private-key',
    '<%= config.bin %> node create-private-key --no-upload --organization-name North --output-dir .',
    '<%= config.bin %> node create-private-key --overwrite',
  ];
  static override flags = {
    ...contextFlags,
    'organization-name': Flags.string({
      char: 'o',
      description: 'name of the organization; default: the one of the user who is logged in',
    }),
    'output-dir': Flags.directory({
      description: 'folder of the file; default: the one above the data folders of nodes',
    }),
    overwrite: Flags.boolean({
      description: 'make a new key although there is one; the old file is kept beside it',
      default: false,
    }),
    upload: Flags.boolean({
      description: 'store the public key at the server',
      default: true,
      allowNo: true,
    }),
    'replace-registered': Flags.boolean({
      description: 'replace another key that the server has for the organization',
      default: false,
    }),
    login: Flags.string({ description: 'login to use; the current one by default' }),
  };

  async run(): Promise<CreatedKey> {
    const { flags } = await this.parse(NodeCreatePrivateKey);
    const { makePrivateKey, privateKeyFile } = await import('../../node/host/make-private-key.ts');
    const { composeKeyFiles } = await import('../../node/compose-keys.ts');
    const { dataDir } = contextFromFlags('node', flags, process.env);
    const { organization, registry } = await this.target(flags);
    const folder = path.resolve(flags['output-dir'] ?? path.dirname(dataDir));
    const made = await makePrivateKey(await composeKeyFiles(), {
      file: privateKeyFile(folder, organization),
      overwrite: flags.overwrite,
      replaceRegistered: flags['replace-registered'],
      ...(registry === undefined ? {} : { registry }),
    });
    if (!made.created) this.note('There is a private key already, and it is used.');
    if (made.backup !== null) this.note(`The old private key is kept as ${made.backup}.`);
    this.log(`Private key of ${organization}: ${made.file}`);
    this.log(`Fingerprint: ${made.fingerprint}`);
    this.log(made.registered ? 'The server has its public key.' : 'Nothing was sent to a server.');
    return { organization, ...made };
  }

  private async target(flags: KeyFlags): Promise<Target> {
    const name = flags['organization-name'];
    if (!flags.upload) {
      const organization =
        name ?? (await ask({ message: 'Organization', flag: '--organization-name' }));
      return { organization };
    }
    const { composeUserSide } = await import('../../diagnose/compose.ts');
    const side = await composeUserSide(hostFolders(process.env));
    const login = await side.logins.get(flags.login);
    const client = side.client(login);
    const { organizations } = client;
    const id =
      name === undefined
        ? await client.ownOrganization()
        : idOf(name, await side.admin(login).listOrganizations());
    const { name: organization, publicKey } = await organizations.get(id);
    return {
      organization,
      registry: {
        organization: id,
        publicKey,
        register: (wire) => organizations.registerKey(id, wire),
      },
    };
  }
}

function idOf(name: string, all: readonly { readonly id: number; readonly name: string }[]) {
  const found = all.find((organization) => organization.name === name);
  if (found !== undefined) return found.id;
  throw new V6Error(
    'V6_REQUEST_NOT_FOUND',
    `This user sees no organization ${JSON.stringify(name)}`,
    {
      hints: [`It sees: ${all.map((organization) => organization.name).join(', ')}`],
    },
  );
}
