import { z } from 'zod';
import { RULES } from '../../auth/rules.ts';
import type { Operation, Scope } from '../../interfaces/records.ts';
import { LARGEST_PAGE } from '../../services/list-all.ts';
import { notFound } from '../../services/nodes.ts';
import { getVisibleUser } from '../../services/users.ts';
import { callerOf, type Routes } from '../app-types.ts';
import { flag, id, listQuery, once, params } from '../fields.ts';
import { pageRequest, sendPage } from '../paging.ts';

const OPERATIONS = ['view', 'edit', 'create', 'delete', 'send', 'receive'] as const;
const SCOPES = ['own', 'organization', 'collaboration', 'global'] as const;

/** Upstream's words in any case, and the short ones that its documentation names (`v`, `glo`). */
const operation = wordOf<Operation>(OPERATIONS, (word) => word.slice(0, 1));
const scope = wordOf<Scope>(SCOPES, (word) => word.slice(0, 3));
const resource = z.enum([...new Set(RULES.map((rule) => rule.resource))]);

const query = listQuery({
  name: once(resource).optional(),
  operation: once(operation).optional(),
  scope: once(scope).optional(),
  role_id: once(id).optional(),
  user_id: once(id).optional(),
  no_pagination: once(flag).optional(),
});

/** Rules: what there is to be given. They are the same on every server. */
export function registerRuleRoutes({ app, store, render }: Routes): void {
  app.get('/rule', { schema: { querystring: query } }, async (request, reply) => {
    const user = callerOf(request, 'user');
    const { query: wanted } = request;
    const { role_id: roleId, user_id: userId } = wanted;
    if (roleId !== undefined && (await store.roles.find(roleId)) === undefined)
      throw notFound('role', roleId);
    if (userId !== undefined) await getVisibleUser(store, user, userId);
    const all = wanted.no_pagination === true;
    const rows = await store.rules.list(
      {
        resource: wanted.name,
        operation: wanted.operation,
        scope: wanted.scope,
        roleId,
        userId,
      },
      all ? { ...LARGEST_PAGE, sort: pageRequest(wanted).sort } : pageRequest(wanted),
    );
    const paging = all ? { page: 1, per_page: LARGEST_PAGE.limit } : wanted;
    return sendPage(request, reply, { query: paging, rows, render: render.rule });
  });

  app.get('/rule/:id', { schema: { params } }, async (request) => {
    callerOf(request, 'user');
    const rule = await store.rules.find(request.params.id);
    if (rule === undefined) throw notFound('rule', request.params.id);
    return render.rule(rule);
  });
}

function wordOf<T extends string>(words: readonly T[], short: (word: T) => string) {
  return z.string().transform((text, context) => {
    const lower = text.toLowerCase();
    const found = words.find((word) => word === lower || short(word) === lower);
    if (found !== undefined) return found;
    context.addIssue({ code: 'custom', message: `One of: ${words.join(', ')}` });
    return z.NEVER;
  });
}
