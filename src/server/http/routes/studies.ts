import { z } from 'zod';
import type { Identity } from '../../auth/identity.ts';
import {
  assertCanForCollaboration,
  assertCanForStudy,
  forbidden,
  visibleStudies,
} from '../../auth/permissions.ts';
import type { StudyRecord } from '../../interfaces/records.ts';
import type { Store } from '../../interfaces/store.ts';
import { listAll } from '../../services/list-all.ts';
import { changeStudy, createStudy, getStudy, removeStudy } from '../../services/studies.ts';
import { callerOf, type Routes } from '../app-types.ts';
import { flag, id, list, listQuery, name, once, params, pattern } from '../fields.ts';
import { pageRequest, sendPage } from '../paging.ts';

const organizationIds = z
  .array(id)
  .min(1)
  .max(1000)
  .refine((ids) => new Set(ids).size === ids.length, 'Must not repeat');
const createBody = z.strictObject({
  name,
  collaboration_id: id,
  organization_ids: organizationIds,
});
const patchBody = z.strictObject({
  name: name.nullish(),
  organization_ids: organizationIds.nullish(),
});
const include = list(z.enum(['organizations'])).optional();
const query = listQuery({
  name: once(pattern).optional(),
  organization_id: once(id).optional(),
  collaboration_id: once(id).optional(),
  include,
});

/** Studies: some organizations of a collaboration. Algorithms see those that their organization is in. */
export function registerStudyRoutes(routes: Routes): void {
  registerReads(routes);
  registerWrites(routes);
  registerMembers(routes);
}

const membersOf = async ({ store, render }: Routes, study: number) =>
  (await listAll((page) => store.organizations.list({ studyId: study }, page))).map(
    render.organization,
  );

const withMembers = async (routes: Routes, study: StudyRecord) => ({
  ...routes.render.study(study),
  organizations: await membersOf(routes, study.id),
});

function registerReads(routes: Routes): void {
  const { app, store, render } = routes;
  const rendered = async (row: StudyRecord, included: readonly string[] | undefined) =>
    included?.includes('organizations') === true ? withMembers(routes, row) : render.study(row);

  app.get('/study', { schema: { querystring: query } }, async (request, reply) => {
    const identity = callerOf(request, 'user', 'node', 'container');
    const { name: like, organization_id: organizationId, collaboration_id: wanted } = request.query;
    const { collaborationIds: visible, memberId } = visibleStudies(identity);
    const isVisible = wanted === undefined || visible?.includes(wanted) !== false;
    const collaborationIds = wanted === undefined ? visible : isVisible ? [wanted] : [];
    const found = await store.studies.list(
      { name: like, organizationId, memberId, collaborationIds },
      pageRequest(request.query),
    );
    const data = await Promise.all(found.rows.map((row) => rendered(row, request.query.include)));
    return sendPage(request, reply, {
      query: request.query,
      rows: { rows: data, total: found.total },
      render: (row) => row,
    });
  });

  app.get(
    '/study/:id',
    { schema: { params, querystring: z.strictObject({ include }) } },
    async (request) => {
      const identity = callerOf(request, 'user', 'node', 'container');
      const study = await getStudy(store, request.params.id);
      await assertCanView(store, identity, study);
      return rendered(study, request.query.include);
    },
  );
}

function registerWrites(routes: Routes): void {
  const { app, store, events, clock, render } = routes;
  app.post('/study', { schema: { body: createBody } }, async (request, reply) => {
    const user = callerOf(request, 'user');
    const { name: title, collaboration_id: collaborationId } = request.body;
    assertCanForCollaboration(user, 'study', 'create', collaborationId);
    const fields = { name: title, collaborationId };
    const study = await createStudy({ store }, fields, request.body.organization_ids);
    reply.code(201);
    return withMembers(routes, study);
  });

  app.patch('/study/:id', { schema: { params, body: patchBody } }, async (request) => {
    const user = callerOf(request, 'user');
    const study = await getStudy(store, request.params.id);
    await assertCan(store, user, 'edit', study);
    const { name: title, organization_ids: members } = request.body;
    const changes = {
      name: title ?? undefined,
      members: members === null || members === undefined ? undefined : () => members,
    };
    return render.study(await changeStudy({ store }, study, changes));
  });

  const deletion = z.strictObject({ delete_dependents: once(flag).default(false) });
  app.delete('/study/:id', { schema: { params, querystring: deletion } }, async (request) => {
    const user = callerOf(request, 'user');
    const study = await getStudy(store, request.params.id);
    await assertCan(store, user, 'delete', study);
    await removeStudy({ store, events, clock }, study, {
      withDependents: request.query.delete_dependents,
    });
    return { msg: `Study ${study.id} is deleted` };
  });
}

function registerMembers(routes: Routes): void {
  const { app, store } = routes;
  const schema = { params, body: z.strictObject({ id }) };
  const change =
    (next: (members: readonly number[], organization: number) => readonly number[]) =>
    async (request: { params: { id: number }; body: { id: number } } & Asked) => {
      const user = callerOf(request, 'user');
      const study = await getStudy(store, request.params.id);
      await assertCan(store, user, 'edit', study);
      const { id: organization } = request.body;
      await changeStudy({ store }, study, { members: (now) => next(now, organization) });
      return membersOf(routes, study.id);
    };
  const path = '/study/:id/organization';
  app.post(
    path,
    { schema },
    change((now, one) => [...new Set([...now, one])]),
  );
  app.delete(
    path,
    { schema },
    change((now, one) => now.filter((member) => member !== one)),
  );
}

type Asked = Parameters<typeof callerOf>[0];

async function assertCan(
  store: Store,
  user: Extract<Identity, { kind: 'user' }>,
  operation: 'edit' | 'delete',
  study: StudyRecord,
): Promise<void> {
  const members = await store.studies.members(study.id);
  assertCanForStudy(user, operation, { collaborationId: study.collaborationId, members });
}

async function assertCanView(store: Store, identity: Identity, study: StudyRecord): Promise<void> {
  const { collaborationIds, memberId } = visibleStudies(identity);
  const isInside = collaborationIds?.includes(study.collaborationId) !== false;
  const isMember =
    memberId === undefined || (await store.studies.members(study.id)).includes(memberId);
  if (!isInside || !isMember) throw forbidden('You may not view this study');
}
