import { apiKeyDigest } from '../auth/api-keys.ts';
import type { Store } from '../interfaces/store.ts';
import type { ImportDocument, ImportedParticipant, ImportedUser } from './import-file.ts';
import { allNodes, collaborationsByName, organizationsByName, rolesFor } from './lookups.ts';
import { noEmail } from './user-fields.ts';

export interface ImportProblem {
  readonly line: number;
  readonly sentence: string;
}

export interface CheckInput {
  readonly document: ImportDocument;
  readonly apiKeyDigestKey: Buffer;
  readonly dropAll: boolean;
}

/** What of a file does not go together with the database. Writes nothing. */
export async function checkAgainstStore(
  store: Store,
  input: CheckInput,
): Promise<readonly ImportProblem[]> {
  const found: ImportProblem[] = [];
  await checkUsers(store, input, found);
  await checkParticipants(store, input, found);
  await checkTasks(store, input, found);
  return found;
}

async function checkUsers(
  store: Store,
  { document, dropAll }: CheckInput,
  found: ImportProblem[],
): Promise<void> {
  const present = dropAll ? new Map<string, never>() : await organizationsByName(store);
  for (const { name, users } of document.organizations) {
    const organization = present.get(name)?.id;
    const roles = await rolesFor(store, organization);
    const names = new Set(roles.map((role) => role.name));
    for (const user of users) {
      for (const role of user.roles ?? [])
        if (!names.has(role) && role !== SUPER_ROLE)
          found.push({
            line: user.line,
            sentence: `role ${JSON.stringify(role)} of ${user.username} does not exist; there are ${[...names].join(', ')}`,
          });
      if (!dropAll) await checkUser(store, user, { name, organization }, found);
    }
  }
}

/** Upstream's: all rules, one such role per organization. */
export const SUPER_ROLE = 'super';

async function checkUser(
  store: Store,
  user: ImportedUser,
  { name, organization }: { readonly name: string; readonly organization: number | undefined },
  found: ImportProblem[],
): Promise<void> {
  const { username, line } = user;
  const present = (await store.users.findLogin(username))?.user;
  if (present !== undefined && present.organizationId !== organization) {
    const sentence = `user ${username} exists in another organization than ${JSON.stringify(name)}`;
    found.push({ line, sentence });
  }
  const email = user.email ?? (present === undefined ? noEmail(username) : undefined);
  const owner = email === undefined ? undefined : await store.users.findByEmail(email);
  if (owner !== undefined && owner.username !== username)
    found.push({ line, sentence: `email ${email} is that of user ${owner.username}` });
}

async function checkParticipants(
  store: Store,
  { document, apiKeyDigestKey, dropAll }: CheckInput,
  found: ImportProblem[],
): Promise<void> {
  const own = new Set(document.organizations.map(({ name }) => name));
  const present = dropAll ? new Map<string, never>() : await organizationsByName(store);
  const collaborations = dropAll ? new Map<string, never>() : await collaborationsByName(store);
  for (const { name, participants } of document.collaborations) {
    for (const participant of participants) {
      if (!own.has(participant.name) && !present.has(participant.name))
        found.push({
          line: participant.line,
          sentence: `participant ${JSON.stringify(participant.name)} is no organization of the file or of the server`,
        });
      const place = {
        collaboration: collaborations.get(name)?.id,
        organization: present.get(participant.name)?.id,
      };
      if (!dropAll) await checkKey(store, participant, { ...place, apiKeyDigestKey }, found);
    }
  }
  if (!dropAll) await checkNodeNames(store, document, found);
}

async function checkKey(
  store: Store,
  { apiKey, line }: ImportedParticipant,
  place: {
    readonly collaboration: number | undefined;
    readonly organization: number | undefined;
    readonly apiKeyDigestKey: Buffer;
  },
  found: ImportProblem[],
): Promise<void> {
  if (apiKey === undefined) return;
  const owner = await store.nodes.findByKeyDigest(apiKeyDigest(place.apiKeyDigestKey, apiKey));
  if (owner === undefined) return;
  const { collaborationId, organizationId } = owner;
  if (collaborationId === place.collaboration && organizationId === place.organization) return;
  found.push({ line, sentence: `api_key is that of the node ${JSON.stringify(owner.name)}` });
}

/** Names of nodes are unique, and an import makes them of two other names. */
async function checkNodeNames(
  store: Store,
  document: ImportDocument,
  found: ImportProblem[],
): Promise<void> {
  const nodes = new Map((await allNodes(store)).map((node) => [node.name, node]));
  const collaborations = await collaborationsByName(store);
  const organizations = await organizationsByName(store);
  for (const collaboration of document.collaborations) {
    for (const { name, line } of collaboration.participants) {
      const node = nodes.get(nodeName(name, collaboration.name));
      if (node === undefined) continue;
      const isIt =
        node.collaborationId === collaborations.get(collaboration.name)?.id &&
        node.organizationId === organizations.get(name)?.id;
      if (!isIt)
        found.push({
          line,
          sentence: `another node is called ${JSON.stringify(node.name)} already`,
        });
    }
  }
}

/** As upstream names them. */
export const nodeName = (organization: string, collaboration: string): string =>
  `${organization} - ${collaboration} Node`;

async function checkTasks(
  store: Store,
  { document, dropAll }: CheckInput,
  found: ImportProblem[],
): Promise<void> {
  const present = dropAll ? new Map<string, never>() : await collaborationsByName(store);
  for (const { name, line, tasks, encrypted, participants } of document.collaborations) {
    if (tasks.length === 0) continue;
    const isEncrypted = encrypted ?? present.get(name)?.encrypted ?? true;
    if (isEncrypted)
      found.push({
        line,
        sentence: `tasks of ${JSON.stringify(name)}: an example task cannot be made in an encrypted collaboration, since its input must be encrypted for each organization`,
      });
    if (participants.length === 0)
      found.push({
        line,
        sentence: `tasks of ${JSON.stringify(name)}: there are no participants to run them`,
      });
  }
}
