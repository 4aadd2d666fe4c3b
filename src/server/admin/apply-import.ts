import { V6Error } from '../../core/errors.ts';
import { apiKeyDigest } from '../auth/api-keys.ts';
import { RULES } from '../auth/rules.ts';
import type { CollaborationRecord, OrganizationRecord, UserRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';
import { listAll } from '../services/list-all.ts';
import { createNode } from '../services/nodes.ts';
import { nodeName, SUPER_ROLE } from './check-import.ts';
import type {
  ImportDocument,
  ImportedCollaboration,
  ImportedOrganization,
  ImportedParticipant,
  ImportedUser,
} from './import-file.ts';
import type { ImportItem } from './import-report.ts';
import {
  collaborationsByName,
  nodesOf,
  organizationsByName,
  roleIds,
  rolesFor,
} from './lookups.ts';
import { keyOf, type PreparedSecrets } from './prepare-import.ts';
import { noEmail } from './user-fields.ts';

export interface ApplyInput {
  readonly document: ImportDocument;
  readonly secrets: PreparedSecrets;
  readonly apiKeyDigestKey: Buffer;
  readonly now: Date;
}

/** Makes the database as the file says, inside a transaction. What the file does not name stays. */
export async function applyImport(store: Store, input: ApplyInput): Promise<readonly ImportItem[]> {
  const items: ImportItem[] = [];
  const add = (...item: readonly ImportItem[]): void => {
    items.push(...item);
  };
  const present = await organizationsByName(store);
  for (const organization of input.document.organizations) {
    const { id, item } = await applyOrganization(
      store,
      organization,
      present.get(organization.name),
    );
    add(item);
    for (const user of organization.users) add(...(await applyUser(store, input, id, user)));
  }
  const organizations = await organizationsByName(store);
  const collaborations = await collaborationsByName(store);
  for (const collaboration of input.document.collaborations) {
    const known = collaborations.get(collaboration.name);
    add(...(await applyCollaboration(store, input, collaboration, { known, organizations })));
  }
  return items;
}

const EMPTY = {
  domain: null,
  address1: null,
  address2: null,
  zipcode: null,
  country: null,
  publicKey: '',
};

async function applyOrganization(
  store: Store,
  { name, fields }: ImportedOrganization,
  present: OrganizationRecord | undefined,
): Promise<{ readonly id: number; readonly item: ImportItem }> {
  if (present === undefined) {
    const id = await store.organizations.create({ name, ...EMPTY, ...fields });
    return { id, item: { kind: 'organization', name, state: 'created', changes: [] } };
  }
  const changed = changesOf(present, fields);
  if (Object.keys(changed).length > 0) await store.organizations.update(present.id, changed);
  return { id: present.id, item: itemOf('organization', name, Object.keys(changed)) };
}

/** Those of `wanted` that differ from what is there. */
function changesOf<T extends object>(present: T, wanted: Partial<T>): Partial<T> {
  const entries = Object.entries(wanted).filter(
    ([key, value]) => value !== undefined && present[key as keyof T] !== value,
  );
  return Object.fromEntries(entries) as Partial<T>;
}

function itemOf(kind: ImportItem['kind'], name: string, changes: readonly string[]): ImportItem {
  return { kind, name, state: changes.length === 0 ? 'unchanged' : 'updated', changes };
}

async function applyUser(
  store: Store,
  { secrets }: ApplyInput,
  organizationId: number,
  user: ImportedUser,
): Promise<readonly ImportItem[]> {
  const { username } = user;
  const present = (await store.users.findLogin(username))?.user;
  const passwordHash = secrets.passwordHashes.get(username);
  const roleItems: ImportItem[] = [];
  const rolesOf = async (names: readonly string[]): Promise<readonly number[]> => {
    if (names.includes(SUPER_ROLE))
      roleItems.push(...(await ensureSuperRole(store, organizationId)));
    return roleIds(store, organizationId, names);
  };
  if (present !== undefined) {
    const roles = user.roles === undefined ? undefined : await rolesOf(user.roles);
    return [...roleItems, await updateUser(store, present, { user, roles, passwordHash })];
  }
  if (passwordHash === undefined) throw changedMeanwhile(`user ${username}`);
  await store.users.create({
    username,
    firstname: user.firstname ?? '',
    lastname: user.lastname ?? '',
    email: user.email ?? noEmail(username),
    organizationId,
    passwordHash,
    roles: await rolesOf(user.roles ?? [SUPER_ROLE]),
  });
  return [...roleItems, { kind: 'user', name: username, state: 'created', changes: [] }];
}

async function updateUser(
  store: Store,
  present: UserRecord,
  wanted: {
    readonly user: ImportedUser;
    readonly roles: readonly number[] | undefined;
    readonly passwordHash: string | undefined;
  },
): Promise<ImportItem> {
  const { firstname, lastname, email } = wanted.user;
  const changed = changesOf<Pick<UserRecord, 'firstname' | 'lastname' | 'email'>>(present, {
    ...(firstname === undefined ? {} : { firstname }),
    ...(lastname === undefined ? {} : { lastname }),
    ...(email === undefined ? {} : { email }),
  });
  const { roles, passwordHash } = wanted;
  const had = new Set(present.roles.map(({ id }) => id));
  const hasOtherRoles =
    roles !== undefined && (roles.length !== had.size || roles.some((id) => !had.has(id)));
  const changes = [
    ...Object.keys(changed),
    ...(hasOtherRoles ? ['roles'] : []),
    ...(passwordHash === undefined ? [] : ['password']),
  ];
  if (changes.length > 0) {
    await store.users.update(present.id, {
      ...changed,
      ...(hasOtherRoles ? { roles } : {}),
      ...(passwordHash === undefined ? {} : { passwordHash, endTokens: true as const }),
    });
  }
  return itemOf('user', present.username, changes);
}

/** The role `super` of an organization: every rule, as upstream's import gives it. */
async function ensureSuperRole(
  store: Store,
  organizationId: number,
): Promise<readonly ImportItem[]> {
  const roles = await rolesFor(store, organizationId);
  if (roles.some((role) => role.name === SUPER_ROLE && role.organizationId === organizationId))
    return [];
  await store.roles.create({
    name: SUPER_ROLE,
    description: 'May do everything',
    organizationId,
    rules: RULES.map(({ id }) => id),
  });
  return [{ kind: 'role', name: SUPER_ROLE, state: 'created', changes: [] }];
}

interface Known {
  readonly known: CollaborationRecord | undefined;
  readonly organizations: ReadonlyMap<string, OrganizationRecord>;
}

async function applyCollaboration(
  store: Store,
  input: ApplyInput,
  collaboration: ImportedCollaboration,
  { known, organizations }: Known,
): Promise<readonly ImportItem[]> {
  const { name, encrypted, participants, tasks } = collaboration;
  const items: ImportItem[] = [];
  let id: number;
  if (known === undefined) {
    id = await store.collaborations.create({ name, encrypted: encrypted ?? true });
    items.push({ kind: 'collaboration', name, state: 'created', changes: [] });
  } else {
    ({ id } = known);
    const changed = changesOf<{ encrypted: boolean }>(
      known,
      encrypted === undefined ? {} : { encrypted },
    );
    if (Object.keys(changed).length > 0) await store.collaborations.update(id, changed);
    items.push(itemOf('collaboration', name, Object.keys(changed)));
  }
  const at = { id, name };
  const members = participants.map((participant) => ({
    participant,
    organization: organizations.get(participant.name),
  }));
  await addMembers(
    store,
    id,
    members.flatMap(({ organization }) => organization?.id ?? []),
  );
  for (const { participant, organization } of members) {
    if (organization === undefined) throw changedMeanwhile(`organization ${participant.name}`);
    items.push(await applyNode(store, input, at, { participant, organization }));
  }
  const ids = members.flatMap(({ organization }) => organization?.id ?? []);
  for (const image of tasks)
    items.push(await applyTask(store, input, at, { image, organizations: ids }));
  return items;
}

async function addMembers(store: Store, id: number, wanted: readonly number[]): Promise<void> {
  const present = await store.collaborations.members(id);
  const all = [...new Set([...present, ...wanted])];
  if (all.length > present.length) await store.collaborations.setMembers(id, all);
}

interface Place {
  readonly id: number;
  readonly name: string;
}

async function applyNode(
  store: Store,
  { secrets, apiKeyDigestKey }: ApplyInput,
  collaboration: Place,
  member: { readonly participant: ImportedParticipant; readonly organization: OrganizationRecord },
): Promise<ImportItem> {
  const { participant, organization } = member;
  const name = nodeName(organization.name, collaboration.name);
  const nodes = await nodesOf(store, collaboration.id);
  const present = nodes.find(({ organizationId }) => organizationId === organization.id);
  if (present === undefined) {
    const apiKey =
      participant.apiKey ?? secrets.apiKeys.get(keyOf(collaboration.name, organization.name));
    if (apiKey === undefined) throw changedMeanwhile(`node ${name}`);
    const place = { organizationId: organization.id, collaborationId: collaboration.id };
    await createNode({ store, apiKeyDigestKey }, { ...place, name, apiKey });
    return { kind: 'node', name, state: 'created', changes: [] };
  }
  if (participant.apiKey === undefined) return itemOf('node', present.name, []);
  const digest = apiKeyDigest(apiKeyDigestKey, participant.apiKey);
  const owner = await store.nodes.findByKeyDigest(digest);
  if (owner?.id === present.id) return itemOf('node', present.name, []);
  await store.nodes.update(present.id, { apiKeyDigest: digest, endTokens: true });
  return itemOf('node', present.name, ['api_key']);
}

/** As upstream's import names and fills it. */
const EXAMPLE = { name: 'Example task', input: { a: 'b' } } as const;

/** One example task per image and collaboration; it is not made twice. */
async function applyTask(
  store: Store,
  { now }: ApplyInput,
  { id: collaborationId }: Place,
  { image, organizations }: { readonly image: string; readonly organizations: readonly number[] },
): Promise<ImportItem> {
  const filter = { collaborationIds: [collaborationId], name: EXAMPLE.name };
  const rows = await listAll((page) => store.tasks.list(filter, page));
  const kind = 'task';
  if (rows.some((task) => task.image === image)) return itemOf(kind, image, []);
  const users = await store.users.list(
    { organizationIds: organizations },
    { offset: 0, limit: 1, sort: [] },
  );
  const [user] = users.rows;
  if (user === undefined) {
    throw new V6Error(
      'V6_IMPORT_INVALID',
      `The example task ${image} needs a user of a participant`,
      {
        hints: ['Add one to the file, or leave `tasks` out.'],
      },
    );
  }
  const input = Buffer.from(JSON.stringify(EXAMPLE.input)).toString('base64');
  await store.tasks.create({
    name: EXAMPLE.name,
    description: 'Made by an import',
    image,
    collaborationId,
    jobId: undefined,
    parentId: null,
    initOrganizationId: user.organizationId,
    initUserId: user.id,
    createdAt: now,
    databases: [],
    runs: organizations.map((organizationId) => ({ organizationId, input })),
  });
  return { kind, name: image, state: 'created', changes: [] };
}

const changedMeanwhile = (what: string): V6Error =>
  new V6Error('V6_REQUEST_CONFLICT', `Somebody else changed the ${what} meanwhile`, {
    hints: ['Run the import again: nothing was changed.'],
  });
