import { z } from 'zod';
import { parsePublicKey } from '../../../core/crypto/keys.ts';
import { isV6Error, V6Error } from '../../../core/errors.ts';
import type { Identity } from '../../auth/identity.ts';
import {
  assertCanForOrganization,
  assertGlobal,
  forbidden,
  visibleParties,
} from '../../auth/permissions.ts';
import type { OrganizationRecord } from '../../interfaces/records.ts';
import type { OrganizationFields, Store } from '../../interfaces/store.ts';
import { getOrganization, sharesCollaboration } from '../../services/parties.ts';
import { removeOrganization } from '../../services/removals.ts';
import { callerOf, type Routes } from '../app-types.ts';
import { flag, id, list, listQuery, name, once, params, pattern, shortText } from '../fields.ts';
import { assertFound } from '../filters.ts';
import { pageRequest, sendPage } from '../paging.ts';

/** base64 of the PEM text of an RSA key, or empty: others could not be encrypted for. */
const publicKey = z
  .string()
  .max(16_384)
  .refine(isPublicKey, 'Not base64 of a PEM public key (RSA)');

const fields = {
  address1: shortText.optional(),
  address2: shortText.optional(),
  zipcode: shortText.optional(),
  country: shortText.optional(),
  domain: shortText.optional(),
  public_key: publicKey.optional(),
};
const createBody = z.strictObject({ name, ...fields });
const patchBody = z.strictObject({ name: name.optional(), ...fields });

const query = listQuery({
  name: once(pattern).optional(),
  country: once(shortText).optional(),
  collaboration_id: once(id).optional(),
  study_id: once(id).optional(),
  ids: list(id).optional(),
});

/** Organizations. */
export function registerOrganizationRoutes(routes: Routes): void {
  registerReads(routes);
  registerWrites(routes);
}

function registerReads({ app, store, render }: Routes): void {
  app.get('/organization', { schema: { querystring: query } }, async (request, reply) => {
    const identity = callerOf(request, 'user', 'node', 'container');
    const { ids, name: like, country, collaboration_id: collaborationId } = request.query;
    const visible = await visibleOrganizations(store, identity);
    const wanted =
      ids === undefined ? visible : (visible?.filter((one) => ids.includes(one)) ?? ids);
    const rows = await store.organizations.list(
      { ids: wanted, name: like, country, collaborationId, studyId: request.query.study_id },
      pageRequest(request.query),
    );
    await assertFound(store, request.query, rows.total);
    return sendPage(request, reply, { query: request.query, rows, render: render.organization });
  });

  app.get('/organization/:id', { schema: { params } }, async (request) => {
    const identity = callerOf(request, 'user', 'node', 'container');
    const organization = await getOrganization(store, request.params.id);
    // The common case: every node that starts reads its own, and need not count its partners.
    const isOwn = visibleParties(identity, 'organization').organizationId === organization.id;
    const visible = isOwn ? undefined : await visibleOrganizations(store, identity);
    if (visible?.includes(organization.id) === false)
      throw forbidden('You may not view this organization');
    return render.organization(organization);
  });
}

function registerWrites({ app, store, events, vpn, clock, render }: Routes): void {
  app.post('/organization', { schema: { body: createBody } }, async (request, reply) => {
    assertGlobal(callerOf(request, 'user'), 'organization', 'create');
    const created = await store.organizations.create({ ...EMPTY, ...toFields(request.body) });
    reply.code(201);
    return render.organization(await getOrganization(store, created));
  });

  app.patch('/organization/:id', { schema: { params, body: patchBody } }, async (request) => {
    const identity = callerOf(request, 'user', 'node');
    const organization = await getOrganization(store, request.params.id);
    if (identity.kind === 'node')
      assertNodeMayPatch(identity.organizationId, organization, request.body);
    else {
      const shares = await sharesCollaboration(store, identity.collaborationIds, organization.id);
      assertCanForOrganization(identity, 'organization', 'edit', {
        organizationId: organization.id,
        shares,
      });
    }
    await store.organizations.update(organization.id, toFields(request.body));
    return render.organization(await getOrganization(store, organization.id));
  });

  const deletion = z.strictObject({ delete_dependents: once(flag).default(false) });
  app.delete(
    '/organization/:id',
    { schema: { params, querystring: deletion } },
    async (request) => {
      const user = callerOf(request, 'user');
      assertGlobal(user, 'organization', 'delete');
      const organization = await getOrganization(store, request.params.id);
      if (organization.id === user.organizationId)
        throw new V6Error('V6_REQUEST_CONFLICT', 'You cannot delete your own organization');
      await removeOrganization({ store, events, vpn, clock }, organization, {
        withDependents: request.query.delete_dependents,
      });
      return { msg: `Organization ${organization.id} is deleted` };
    },
  );
}

/** Ids of the organizations that somebody sees; undefined for all. Partners are seen through any shared collaboration. */
export async function visibleOrganizations(
  store: Store,
  identity: Identity,
): Promise<readonly number[] | undefined> {
  const visible = visibleParties(identity, 'organization');
  if (visible.isAll) return undefined;
  const ids = new Set(visible.organizationId === undefined ? [] : [visible.organizationId]);
  for (const collaboration of visible.collaborationIds ?? [])
    for (const member of await store.collaborations.members(collaboration)) ids.add(member);
  return [...ids];
}

/** A node of the organization may set its public key where there is none; replacing one would make what was encrypted for it unreadable. */
function assertNodeMayPatch(
  own: number,
  organization: OrganizationRecord,
  body: z.infer<typeof patchBody>,
): void {
  if (organization.id !== own) throw forbidden('A node may change only its own organization');
  const others = Object.keys(body).filter((key) => key !== 'public_key');
  if (others.length > 0) throw forbidden('A node may set only the public key of its organization');
  if (organization.publicKey !== '' && organization.publicKey !== body.public_key) {
    throw new V6Error(
      'V6_AUTH_FORBIDDEN',
      `Organization ${organization.id} already has another public key`,
      {
        hints: [
          'All nodes of an organization use the same private key.',
          'A user who may edit the organization can replace its key.',
        ],
      },
    );
  }
}

const EMPTY = {
  domain: null,
  address1: null,
  address2: null,
  zipcode: null,
  country: null,
  publicKey: '',
} as const;

function toFields<T extends z.infer<typeof patchBody>>(body: T) {
  const { public_key: key, ...rest } = body;
  const given = Object.entries({ ...rest, publicKey: key }).filter(
    ([, value]) => value !== undefined,
  );
  return Object.fromEntries(given) as Partial<OrganizationFields> & Pick<T, 'name'>;
}

function isPublicKey(text: string): boolean {
  if (text === '') return true;
  if (!/^[A-Za-z\d+/]+={0,2}$/.test(text) || text.length % 4 !== 0) return false;
  try {
    parsePublicKey(text, 'the organization');
    return true;
  } catch (error) {
    if (!isV6Error(error)) throw error;
    return false;
  }
}
