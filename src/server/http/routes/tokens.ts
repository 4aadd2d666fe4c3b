import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import { V6Error } from '../../../core/errors.ts';
import type { TokenAnswer } from '../../../core/protocol/entities.ts';
import { isApiKey } from '../../auth/api-keys.ts';
import { bearerOf, type UserIdentity } from '../../auth/identity.ts';
import { assertCanEditUser } from '../../auth/permissions.ts';
import { assertNotAboveUser } from '../../services/grants.ts';
import { sharesCollaboration } from '../../services/parties.ts';
import { containerToken } from '../../services/runs.ts';
import type { TokenPair } from '../../services/sessions.ts';
import { getUser } from '../../services/users.ts';
import { callerOf, type Routes } from '../app-types.ts';
import { id } from '../fields.ts';
import { renderDate } from '../render.ts';

const isPublic = { isPublic: true } as const;

/** Python's client lets users pass a number, which has lost its leading zeros. */
const code = z.preprocess(
  (value) => (typeof value === 'number' ? String(value).padStart(6, '0') : value),
  z.string().max(10),
);

/** Logins, refresh, sessions, container tokens. */
export function registerTokenRoutes(routes: Routes): void {
  registerLogins(routes);
  registerSessions(routes);
  registerContainerToken(routes);
}

function registerLogins({ app, apiPath, login, sessions }: Routes): void {
  const answer = (kind: 'user' | 'node', pair: TokenPair): TokenAnswer => ({
    access_token: pair.access,
    refresh_token: pair.refresh,
    refresh_url: `${apiPath}/token/refresh`,
    ...(kind === 'user'
      ? { user_url: `${apiPath}/user/${pair.id}` }
      : { node_url: `${apiPath}/node/${pair.id}` }),
  });
  const sendTokens = (reply: FastifyReply, kind: 'user' | 'node', pair: TokenPair): TokenAnswer => {
    reply.header('jwt-token', pair.access);
    return answer(kind, pair);
  };

  const userBody = z.strictObject({
    username: z.string().min(1).max(128),
    password: z.string().min(1).max(128),
    mfa_code: code.nullish(),
  });
  app.post(
    '/token/user',
    { config: isPublic, schema: { body: userBody } },
    async (request, reply) => {
      const { username, password, mfa_code: given } = request.body;
      const credentials = { username, password, code: given || undefined };
      const result = await login.user(credentials, request.ip);
      if (result.kind === 'tokens') return sendTokens(reply, 'user', result.pair);
      if (result.kind === 'code-needed')
        return { msg: 'Give the code of your authenticator app as mfa_code' };
      const { qrUri, secret } = result.enrolment;
      return enrolmentAnswer(qrUri, secret);
    },
  );

  const nodeBody = z.strictObject({ api_key: z.string().refine(isApiKey, 'Not a UUID') });
  app.post(
    '/token/node',
    { config: isPublic, schema: { body: nodeBody } },
    async (request, reply) =>
      sendTokens(reply, 'node', await login.node(request.body.api_key, request.ip)),
  );

  // Public to the hook, which knows access tokens: here the bearer is a refresh token.
  app.post('/token/refresh', { config: isPublic }, async (request) => {
    const { kind, ...pair } = await sessions.refresh(bearerOf(request.headers.authorization));
    return answer(kind, pair);
  });
}

/** What a Python client prints and draws (vantage6 4.14 client, `authenticate`). */
export const enrolmentAnswer = (qrUri: string, secret: string) => ({
  qr_uri: qrUri,
  otp_secret: secret,
  msg:
    'Two-factor authentication is on: add this account to your authenticator app, then log in with a code; ' +
    'until then each login shows a new secret',
});

const logoutBody = z
  .strictObject({
    all: z.boolean().nullish(),
    session: z.string().max(128).nullish(),
    user: id.nullish(),
  })
  .nullish();

function registerSessions({ app, login, sessions, store }: Routes): void {
  const endOfOther = async (admin: UserIdentity, other: number): Promise<string> => {
    const target = await getUser(store, other);
    const { organizationId } = target;
    const shares = await sharesCollaboration(store, admin.collaborationIds, organizationId);
    assertCanEditUser(admin, target, shares);
    if (target.id !== admin.id) await assertNotAboveUser(store, admin, target);
    await login.endAll(target);
    return `All sessions of user ${target.id} are ended`;
  };

  app.post('/token/logout', { schema: { body: logoutBody } }, async (request) => {
    const { all, session: wanted, user: other } = request.body ?? {};
    if (other != null) return { msg: await endOfOther(callerOf(request, 'user'), other) };
    const caller = callerOf(request, 'user', 'node');
    const account = caller.kind === 'user' ? caller.user : caller.node;
    if (all === true || (wanted == null && request.session === undefined)) {
      await login.endAll(account);
      return { msg: 'All sessions are ended' };
    }
    const listed = wanted == null ? [] : await sessions.list(account.id);
    const found = listed.find((one) => one.id === wanted);
    const session =
      found === undefined ? request.session : { ...found, startedAt: found.createdAt };
    if (session === undefined || (wanted != null && session.id !== wanted))
      throw new V6Error('V6_REQUEST_NOT_FOUND', 'You have no session with this id');
    await sessions.end(session, account);
    return { msg: 'The session is ended' };
  });

  app.get('/token/session', async (request) => {
    const caller = callerOf(request, 'user', 'node');
    const rows = await sessions.list(caller.id);
    return {
      data: rows.map((row) => ({
        id: row.id,
        source: row.source,
        created_at: renderDate(row.createdAt),
        refreshed_at: renderDate(row.rotatedAt),
        expires_at: renderDate(row.expiresAt),
        is_current: row.id === request.session?.id,
      })),
    };
  });

  // For algorithm stores, which ask whose token they were given.
  app.post('/token/user/validate', async (request) => {
    const { user } = callerOf(request, 'user');
    return {
      msg: 'Token is valid',
      user_id: user.id,
      username: user.username,
      email: user.email,
      organization_id: user.organizationId,
    };
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
