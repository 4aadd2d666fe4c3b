import { V6Error } from '../../core/errors.ts';
import { isForUsers } from '../auth/roles.ts';
import type {
  CollaborationRecord,
  NodeRecord,
  OrganizationRecord,
  RoleRecord,
  UserRecord,
} from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';
import { listAll } from '../services/list-all.ts';

/** All organizations, by their exact names: the patterns of lists know no case. */
export async function organizationsByName(
  store: Pick<Store, 'organizations'>,
): Promise<ReadonlyMap<string, OrganizationRecord>> {
  const all = await listAll((page) => store.organizations.list({}, page));
  return new Map(all.map((organization) => [organization.name, organization]));
}

export async function collaborationsByName(
  store: Pick<Store, 'collaborations'>,
): Promise<ReadonlyMap<string, CollaborationRecord>> {
  const all = await listAll((page) => store.collaborations.list({}, page));
  return new Map(all.map((collaboration) => [collaboration.name, collaboration]));
}

export function nodesOf(
  store: Pick<Store, 'nodes'>,
  collaboration: number,
): Promise<readonly NodeRecord[]> {
  return listAll((page) => store.nodes.list({ collaborationIds: [collaboration] }, page));
}

export const allNodes = (store: Pick<Store, 'nodes'>): Promise<readonly NodeRecord[]> =>
  listAll((page) => store.nodes.list({}, page));

export const allUsers = (store: Pick<Store, 'users'>): Promise<readonly UserRecord[]> =>
  listAll((page) => store.users.list({}, page));

/** By name, or by number. Throws V6_REQUEST_NOT_FOUND with the names that there are. */
export async function getOrganizationBy(
  store: Pick<Store, 'organizations'>,
  nameOrId: string,
): Promise<OrganizationRecord> {
  const all = await organizationsByName(store);
  const found = all.get(nameOrId) ?? [...all.values()].find(({ id }) => String(id) === nameOrId);
  return found ?? notThere('organization', nameOrId, [...all.keys()]);
}

/** By name, or by number. Throws V6_REQUEST_NOT_FOUND with the names that there are. */
export async function getCollaborationBy(
  store: Pick<Store, 'collaborations'>,
  nameOrId: string,
): Promise<CollaborationRecord> {
  const all = await collaborationsByName(store);
  const found = all.get(nameOrId) ?? [...all.values()].find(({ id }) => String(id) === nameOrId);
  return found ?? notThere('collaboration', nameOrId, [...all.keys()]);
}

/** By name, or by number. Throws V6_REQUEST_NOT_FOUND with the names that there are. */
export async function getNodeBy(
  store: Pick<Store, 'nodes'>,
  nameOrId: string,
): Promise<NodeRecord> {
  const all = await allNodes(store);
  const found =
    all.find(({ name }) => name === nameOrId) ?? all.find(({ id }) => String(id) === nameOrId);
  return (
    found ??
    notThere(
      'node',
      nameOrId,
      all.map(({ name }) => name),
    )
  );
}

/** Throws V6_REQUEST_NOT_FOUND with the names that there are. */
export async function getUserBy(
  store: Pick<Store, 'users'>,
  username: string,
): Promise<UserRecord> {
  const found = (await store.users.findLogin(username))?.user;
  if (found !== undefined) return found;
  return notThere(
    'user',
    username,
    (await allUsers(store)).map((user) => user.username),
  );
}

/** Roles that users of an organization may have, their own before those of the server. */
export async function rolesFor(
  store: Pick<Store, 'users'>,
  organization: number | undefined,
): Promise<readonly RoleRecord[]> {
  const all = (await store.users.roles()).filter(isForUsers);
  return [
    ...all.filter(
      ({ organizationId }) => organizationId !== null && organizationId === organization,
    ),
    ...all.filter(({ organizationId }) => organizationId === null),
  ];
}

/** Ids of roles by their names. Throws V6_REQUEST_NOT_FOUND with the names that there are. */
export async function roleIds(
  store: Pick<Store, 'users'>,
  organization: number | undefined,
  names: readonly string[],
): Promise<readonly number[]> {
  const roles = await rolesFor(store, organization);
  return names.map(
    (wanted) =>
      (
        roles.find(({ name }) => name === wanted) ??
        notThere(
          'role',
          wanted,
          roles.map(({ name }) => name),
        )
      ).id,
  );
}

/** How many names a hint lists. */
const SHOWN = 20;

function notThere(what: string, wanted: string, names: readonly string[]): never {
  const shown = names.slice(0, SHOWN).join(', ');
  const more = names.length > SHOWN ? ` and ${names.length - SHOWN} more` : '';
  throw new V6Error('V6_REQUEST_NOT_FOUND', `There is no ${what} ${JSON.stringify(wanted)}`, {
    hints: [names.length === 0 ? `There is none at all.` : `There are: ${shown}${more}.`],
  });
}
