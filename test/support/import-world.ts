import { openStore } from '../../src/adapters/database/open.ts';
import {
  type ImportDeps,
  type ImportInput,
  importEntities,
} from '../../src/server/admin/import.ts';
import type { ImportReport } from '../../src/server/admin/import-report.ts';
import { FIXED_ROLES } from '../../src/server/auth/roles.ts';
import type { Store } from '../../src/server/interfaces/store.ts';
import { ManualClock } from '../fakes/manual-clock.ts';

export const API_KEY_DIGEST_KEY = Buffer.alloc(32, 7);

/** Importing into a database, in memory unless another one is given; files of secrets are kept in memory too. */
export async function createImportWorld(given?: Store) {
  const store =
    given ?? (await openStore({ uri: 'sqlite:///:memory:', dataDir: '/', roles: FIXED_ROLES }));
  const files = new Map<string, string>();
  const deps: ImportDeps = {
    store,
    apiKeyDigestKey: API_KEY_DIGEST_KEY,
    clock: new ManualClock(),
    secrets: {
      write: async (text) => {
        const file = `/secrets-${files.size + 1}`;
        files.set(file, text);
        return file;
      },
      remove: async (file) => {
        files.delete(file);
      },
      read: async (file) => files.get(file) ?? '',
    },
  };
  return {
    store,
    files,
    importText: (text: string, options: Partial<ImportInput> = {}): Promise<ImportReport> =>
      importEntities(deps, {
        file: 'entities.yaml',
        text,
        dropAll: false,
        mayDropAll: false,
        resetPasswords: false,
        dryRun: false,
        ...options,
      }),
    close: () => store.close(),
  };
}

export type ImportWorld = Awaited<ReturnType<typeof createImportWorld>>;

/** Everything in the database that an import can change, without secrets that are random. */
export async function contentOf(store: Store) {
  const page = { offset: 0, limit: 1000, sort: [] };
  const collaborations = (await store.collaborations.list({}, page)).rows;
  const users = (await store.users.list({}, page)).rows;
  return {
    organizations: (await store.organizations.list({}, page)).rows,
    collaborations,
    members: await Promise.all(collaborations.map(({ id }) => store.collaborations.members(id))),
    users,
    hashes: await Promise.all(
      users.map(async ({ username }) => (await store.users.findLogin(username))?.passwordHash),
    ),
    nodes: (await store.nodes.list({}, page)).rows,
    tasks: (await store.tasks.list({}, page)).rows,
    roles: await store.users.roles(),
  };
}

export const NORTH_KEY = '123e4567-e89b-12d3-a456-426614174001';

/** Upstream's form, with all seven keys of an organization. */
export const UPSTREAM_FILE = `organizations:
  - name: North
    domain: north.example
    address1: Quay 1
    address2:
    zipcode: 0101
    country: NL
    public_key: ""
    users:
      - { username: ann, firstname: Ann, lastname: Lee, password: "Plain-text-1", email: ann@north.example }
  - name: South
    domain: south.example
    address1: ""
    address2: ""
    zipcode: ""
    country: NL
    public_key: ""
collaborations:
  - name: Trial
    encrypted: false
    participants:
      - { name: North, api_key: ${NORTH_KEY} }
      - name: South
        api_key: 123e4567-e89b-12d3-a456-426614174002
    tasks: ["hello-world"]
`;
