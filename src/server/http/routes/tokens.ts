import { z } from 'zod';
import { V6Error } from '../../../core/errors.ts';
import type { TokenAnswer } from '../../../core/protocol/entities.ts';
import { isApiKey } from '../../auth/api-keys.ts';
import { authenticate } from '../../auth/identity.ts';
import { checkPasswordRule } from '../../auth/passwords.ts';
import { assertCanForNode } from '../../auth/permissions.ts';
import type { TokenPair } from '../../services/login.ts';
import { getNode, resetApiKey } from '../../services/nodes.ts';
import { containerToken } from '../../services/runs.ts';
import { callerOf, type Routes } from '../app-types.ts';
import { id } from '../fields.ts';

const isPublic = { isPublic: true } as const;

/** Logins, refresh, container tokens, passwords and keys. */
export function registerTokenRoutes(routes: Routes): void {
  registerLogins(routes);
  registerContainerToken(routes);
  registerAccountChanges(routes);
}

function registerLogins({ app, apiPath, login, store, tokens }: Routes): void {
  const answer = (kind: 'user' | 'node', pair: TokenPair): TokenAnswer => ({
    access_token: pair.access,
    refresh_token: pair.refresh,
    refresh_url: `${apiPath}/token/refresh`,
    ...(kind === 'user'
      ? { user_url: `${apiPath}/user/${pair.id}` }
      : { node_url: `${apiPath}/node/${pair.id}` }),
  });

  const userBody = z.strictObject({
    username: z.string().min(1).max(128),
    password: z.string().min(1).max(128),
    mfa_code: z.string().max(10).nullish(),
  });
  app.post(
    '/token/user',
    { config: isPublic, schema: { body: userBody } },
    async (request, reply) => {
      const { username, password } = request.body;
      const pair = await login.user(username, password, request.ip);
      reply.header('jwt-token', pair.access);
      return answer('user', pair);
    },
  );

  const nodeBody = z.strictObject({ api_key: z.string().refine(isApiKey, 'Not a UUID') });
  app.post(
    '/token/node',
    { config: isPublic, schema: { body: nodeBody } },
    async (request, reply) => {
      const pair = await login.node(request.body.api_key);
      reply.header('jwt-token', pair.access);
      return answer('node', pair);
    },
  );

  // Public to the hook, which knows access tokens: here the bearer is a refresh token.
  app.post('/token/refresh', { config: isPublic }, async (request) => {
    const { authorization } = request.headers;
    const { identity } = await authenticate({ store, tokens }, authorization, 'refresh');
    if (identity.kind === 'container')
      throw new V6Error('V6_AUTH_FORBIDDEN', 'Containers have no refresh token');
    const account = identity.kind === 'user' ? identity.user : identity.node;
    return answer(identity.kind, await login.issueFor(account));
  });
}

function registerContainerToken({ app, store, tokens }: Routes): void {
  const body = z.strictObject({ task_id: id, image: z.string().min(1).max(1024) });
  app.post('/token/container', { schema: { body } }, async (request) => {
    const node = callerOf(request, 'node');
    const { task_id: taskId, image } = request.body;
    return { container_token: await containerToken({ store, tokens }, node, { taskId, image }) };
  });
}

function registerAccountChanges({ app, login, store, events, apiKeyDigestKey }: Routes): void {
  const passwordBody = z.strictObject({
    current_password: z.string().min(1).max(128),
    new_password: z.string().min(1).max(128),
  });
  app.patch('/password/change', { schema: { body: passwordBody } }, async (request) => {
    const { user } = callerOf(request, 'user');
    const { current_password: current, new_password: next } = request.body;
    checkPasswordRule(next);
    await login.changePassword(user, current, next, request.ip);
    events.publish({ type: 'account-ended', accountId: user.id });
    return { msg: 'The password is changed; log in again' };
  });

  app.post('/recover/node', { schema: { body: z.strictObject({ id }) } }, async (request) => {
    const user = callerOf(request, 'user');
    const node = await getNode(store, request.body.id);
    assertCanForNode(user, 'edit', node);
    return { api_key: await resetApiKey({ store, events, apiKeyDigestKey }, node) };
  });
}
