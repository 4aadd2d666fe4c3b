import { z } from 'zod';
import { checkPasswordRule } from '../../auth/password-rule.ts';
import { assertCanForNode } from '../../auth/permissions.ts';
import { getNode, resetApiKey } from '../../services/nodes.ts';
import { callerOf, type Routes } from '../app-types.ts';
import { id } from '../fields.ts';
import { enrolmentAnswer } from './tokens.ts';

const isPublic = { isPublic: true } as const;
const username = z.string().min(1).max(128);
const password = z.string().min(1).max(128);
const email = z.string().min(3).max(254);
const token = z.string().min(1).max(4096);

/** Changing what one logs in with, and getting back in without it. */
export function registerRecoveryRoutes(routes: Routes): void {
  registerChanges(routes);
  registerPasswordRecovery(routes);
  registerSecondFactorRecovery(routes);
}

function registerChanges({ app, login, store, events, apiKeyDigestKey }: Routes): void {
  const body = z.strictObject({ current_password: password, new_password: password });
  app.patch('/password/change', { schema: { body } }, async (request) => {
    const { user } = callerOf(request, 'user');
    const { current_password: current, new_password: next } = request.body;
    checkPasswordRule(next, [user.username, user.email]);
    await login.changePassword(user, current, next, request.ip);
    return { msg: 'The password is changed; log in again' };
  });

  app.post('/recover/node', { schema: { body: z.strictObject({ id }) } }, async (request) => {
    const user = callerOf(request, 'user');
    const node = await getNode(store, request.body.id);
    assertCanForNode(user, 'edit', node);
    return { api_key: await resetApiKey({ store, events, apiKeyDigestKey }, node) };
  });
}

/** The answers are the same whether there is such a user or not. */
function registerPasswordRecovery({ app, recovery }: Routes): void {
  const who = z
    .strictObject({ username: username.nullish(), email: email.nullish() })
    .refine(({ username: name, email: address }) => name != null || address != null, {
      message: 'Give username or email',
    });
  app.post('/recover/lost', { config: isPublic, schema: { body: who } }, async (request) => {
    const { username: name, email: address } = request.body;
    recovery.passwordLost({ username: name ?? undefined, email: address ?? undefined }, request.ip);
    return { msg: 'If there is such a user, a mail with a token is on its way' };
  });

  const body = z.strictObject({ reset_token: token, password });
  app.post('/recover/reset', { config: isPublic, schema: { body } }, async (request) => {
    const { reset_token: text, password: next } = request.body;
    await recovery.resetPassword(text, next, request.ip);
    return { msg: 'The password is set; log in with it' };
  });
}

function registerSecondFactorRecovery({ app, recovery }: Routes): void {
  // Python's client sends an address too, which upstream's own schema refuses.
  const lost = z.strictObject({ username, password, email: z.string().max(254).nullish() });
  app.post('/recover/2fa/lost', { config: isPublic, schema: { body: lost } }, async (request) => {
    const { username: name, password: text } = request.body;
    await recovery.secondFactorLost({ username: name, password: text }, request.ip);
    return { msg: 'A mail with a token is on its way' };
  });

  const body = z.strictObject({ reset_token: token });
  app.post('/recover/2fa/reset', { config: isPublic, schema: { body } }, async (request) => {
    const { qrUri, secret } = await recovery.resetSecondFactor(
      request.body.reset_token,
      request.ip,
    );
    return enrolmentAnswer(qrUri, secret);
  });
}
