import { newApiKey } from '../auth/api-keys.ts';
import { hashPassword, randomPassword, verifyPassword } from '../auth/passwords.ts';
import type { Store } from '../interfaces/store.ts';
import { type ImportDocument, type ImportedUser, passwordProblem } from './import-file.ts';
import { collaborationsByName, nodesOf, organizationsByName } from './lookups.ts';

/** What is slow or random, made before the transaction, which may run several times. */
export interface PreparedSecrets {
  /** By user name: of users that are new, or whose password is to be set anew. */
  readonly passwordHashes: ReadonlyMap<string, string>;
  /** Passwords that the file does not have, by user name. */
  readonly passwords: ReadonlyMap<string, string>;
  /** Keys that the file does not have, by `keyOf(collaboration, organization)`; for nodes that do not exist. */
  readonly apiKeys: ReadonlyMap<string, string>;
}

export const keyOf = (collaboration: string, organization: string): string =>
  JSON.stringify([collaboration, organization]);

export interface PrepareInput {
  readonly document: ImportDocument;
  /** Passwords of users who exist are set to those of the file. */
  readonly resetPasswords: boolean;
  /** Nothing of the database will be there any more. */
  readonly dropAll: boolean;
  /** Reads the first line of a file that `password_file` names. */
  readonly readPasswordFile: (file: string) => Promise<string>;
  /** Told of a password file that cannot be used. */
  readonly onProblem: (problem: { readonly line: number; readonly sentence: string }) => void;
}

/** Hashes passwords and makes the secrets that the file leaves out. Writes nothing. */
export async function prepareSecrets(store: Store, input: PrepareInput): Promise<PreparedSecrets> {
  const passwords = new Map<string, string>();
  const passwordHashes = new Map<string, string>();
  for (const user of input.document.organizations.flatMap(({ users }) => users)) {
    const present = input.dropAll ? undefined : await store.users.findLogin(user.username);
    if (present !== undefined && !(input.resetPasswords && user.password.kind !== 'generated'))
      continue;
    const hash = await hashOf(user, present?.passwordHash, { ...input, passwords });
    if (hash !== undefined) passwordHashes.set(user.username, hash);
  }
  return { passwords, passwordHashes, apiKeys: await missingKeys(store, input) };
}

async function hashOf(
  { username, password, line }: ImportedUser,
  present: string | undefined,
  input: PrepareInput & { readonly passwords: Map<string, string> },
): Promise<string | undefined> {
  if (password.kind === 'hash') return password.hash === present ? undefined : password.hash;
  let text: string;
  if (password.kind === 'generated') {
    text = randomPassword();
    input.passwords.set(username, text);
  } else
    text =
      password.kind === 'plain' ? password.password : await input.readPasswordFile(password.file);
  const bad = password.kind === 'file' ? passwordProblem(text, username) : undefined;
  if (bad !== undefined) {
    input.onProblem({ line, sentence: `password_file of ${username}: its first line ${bad}` });
    return undefined;
  }
  if (present !== undefined && (await verifyPassword(text, present))) return undefined;
  return hashPassword(text);
}

async function missingKeys(
  store: Store,
  { document, dropAll }: PrepareInput,
): Promise<ReadonlyMap<string, string>> {
  const keys = new Map<string, string>();
  const collaborations = dropAll ? new Map<string, never>() : await collaborationsByName(store);
  const organizations = await organizationsByName(store);
  for (const { name, participants } of document.collaborations) {
    const id = collaborations.get(name)?.id;
    const nodes = id === undefined ? [] : await nodesOf(store, id);
    for (const participant of participants) {
      const organization = organizations.get(participant.name)?.id;
      const isThere = nodes.some(({ organizationId }) => organizationId === organization);
      if (participant.apiKey === undefined && !isThere)
        keys.set(keyOf(name, participant.name), newApiKey());
    }
  }
  return keys;
}
