import { V6Error } from '../../core/errors.ts';
import type { Store } from '../interfaces/store.ts';
import { markOutsideChange } from '../services/outside-changes.ts';
import { collaborationsByName, getOrganizationBy, organizationsByName } from './lookups.ts';

/** An organization as the command line shows it. */
export interface ShownOrganization {
  readonly id: number;
  readonly name: string;
  readonly domain: string | null;
  readonly country: string | null;
  readonly hasPublicKey: boolean;
  readonly collaborations: readonly string[];
}

export async function listOrganizations(store: Store): Promise<readonly ShownOrganization[]> {
  const collaborations = [...(await collaborationsByName(store)).values()];
  const names = new Map(collaborations.map(({ id, name }) => [id, name]));
  const all = [...(await organizationsByName(store)).values()];
  return Promise.all(
    all.map(async ({ id, name, domain, country, publicKey }) => ({
      id,
      name,
      domain,
      country,
      hasPublicKey: publicKey !== '',
      collaborations: (await store.collaborations.ofOrganization(id)).map(
        (one) => names.get(one) ?? String(one),
      ),
    })),
  );
}

/** Throws V6_REQUEST_CONFLICT when the name is taken. */
export async function createOrganization(
  store: Store,
  fields: {
    readonly name: string;
    readonly domain: string | null;
    readonly country: string | null;
  },
): Promise<ShownOrganization> {
  await store.transaction(async (tx) => {
    await markOutsideChange(tx.meta);
    if ((await organizationsByName(tx)).has(fields.name)) throw taken('organization', fields.name);
    const rest = { address1: null, address2: null, zipcode: null, publicKey: '' };
    await tx.organizations.create({ ...fields, ...rest });
  });
  return byName(await listOrganizations(store), fields.name);
}

/** A collaboration as the command line shows it. */
export interface ShownCollaboration {
  readonly id: number;
  readonly name: string;
  readonly encrypted: boolean;
  readonly organizations: readonly string[];
}

export async function listCollaborations(store: Store): Promise<readonly ShownCollaboration[]> {
  const organizations = [...(await organizationsByName(store)).values()];
  const names = new Map(organizations.map(({ id, name }) => [id, name]));
  const all = [...(await collaborationsByName(store)).values()];
  return Promise.all(
    all.map(async ({ id, name, encrypted }) => ({
      id,
      name,
      encrypted,
      organizations: (await store.collaborations.members(id)).map(
        (one) => names.get(one) ?? String(one),
      ),
    })),
  );
}

/** Throws V6_REQUEST_CONFLICT when the name is taken, V6_REQUEST_NOT_FOUND for an unknown organization. */
export async function createCollaboration(
  store: Store,
  fields: {
    readonly name: string;
    readonly encrypted: boolean;
    /** Names or numbers. */
    readonly organizations: readonly string[];
  },
): Promise<ShownCollaboration> {
  const { name, encrypted } = fields;
  await store.transaction(async (tx) => {
    await markOutsideChange(tx.meta);
    if ((await collaborationsByName(tx)).has(name)) throw taken('collaboration', name);
    const members = await Promise.all(
      fields.organizations.map(async (one) => (await getOrganizationBy(tx, one)).id),
    );
    const id = await tx.collaborations.create({ name, encrypted });
    await tx.collaborations.setMembers(id, [...new Set(members)]);
  });
  return byName(await listCollaborations(store), name);
}

function byName<T extends { readonly name: string }>(all: readonly T[], name: string): T {
  const found = all.find((one) => one.name === name);
  if (found === undefined) throw new TypeError(`${name} was made and is not there`);
  return found;
}

const taken = (what: string, name: string): V6Error =>
  new V6Error(
    'V6_REQUEST_CONFLICT',
    `There is ${what === 'organization' ? 'an' : 'a'} ${what} ${JSON.stringify(name)} already`,
  );
