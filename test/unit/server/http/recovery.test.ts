import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { V6Error } from '../../../../src/core/errors.ts';
import { createWorld, PASSWORD, type World } from '../../../support/server-app.ts';

let world: World;
beforeEach(async () => {
  world = await createWorld({ hasMail: true, accounts: { supportEmail: 'help@example.org' } });
});
afterEach(() => world.close());

const lost = (body: object, from = '192.0.2.1') =>
  world.call('POST', '/recover/lost', { body, from });
const reset = (token: unknown, password = 'Other-pass-2') =>
  world.call('POST', '/recover/reset', { body: { reset_token: token, password } });
const login = (password: string) =>
  world.call('POST', '/token/user', { body: { username: 'nora', password } });

async function mailedToken(): Promise<string> {
  await world.mails.idle();
  const token = /^[\w-]{43}$/m.exec(world.mailer.mails.at(-1)?.text ?? '')?.[0];
  if (token === undefined) throw new Error('no mail with a token');
  return token;
}

describe('a lost password', () => {
  it.each([[{ username: 'nora' }], [{ email: 'nora@example.org' }]])(
    'is set anew with a token from a mail, for %j',
    async (who) => {
      expect((await lost(who)).status).toBe(200);
      const token = await mailedToken();
      const mail = world.mailer.mails[0];
      expect(mail).toMatchObject({
        to: 'nora@example.org',
        subject: expect.stringContaining('password'),
      });
      expect(mail?.text).toContain('help@example.org');
      expect((await reset(token)).status).toBe(200);
      expect((await login('Other-pass-2')).status).toBe(200);
      expect((await login(PASSWORD)).status).toBe(401);
      const old = await world.call('GET', '/task', { token: world.nora.token });
      expect(old.status).toBe(401);
      expect(world.events).toContainEqual({ type: 'account-ended', accountId: world.nora.id });
    },
  );

  it('is answered alike for nobody, and nobody gets a mail', async () => {
    const known = await lost({ username: 'nora' });
    const unknown = await lost({ username: 'nobody' });
    const address = await lost({ email: 'nobody@example.org' });
    expect([unknown.status, unknown.body]).toStrictEqual([known.status, known.body]);
    expect(address.body).toStrictEqual(known.body);
    await world.mails.idle();
    expect(world.mailer.mails).toHaveLength(1);
  });

  it('is mailed once in between_user_emails_minutes, and again when a mail could not be sent', async () => {
    world.mailer.failure = new V6Error('V6_MAIL_SEND', 'no mail today');
    await lost({ username: 'nora' });
    await world.mails.idle();
    expect(world.lines.join()).toContain('V6_MAIL_SEND');
    world.mailer.failure = undefined;
    await lost({ username: 'nora' });
    await lost({ username: 'nora' });
    await world.mails.idle();
    expect(world.mailer.mails).toHaveLength(1);
    await world.clock.turn(61 * 60_000);
    await lost({ username: 'nora' });
    await world.mails.idle();
    expect(world.mailer.mails).toHaveLength(2);
  });

  it('has a token that ends after an hour, with use, and with a newer one', async () => {
    await lost({ username: 'nora' });
    const first = await mailedToken();
    await world.clock.turn(59 * 60_000);
    expect((await reset(first)).status).toBe(200);
    expect((await reset(first, 'Third-pass-3')).body.code).toBe('V6_RECOVERY_TOKEN');
    await world.clock.turn(2 * 60_000);
    await lost({ username: 'nora' });
    const second = await mailedToken();
    await world.clock.turn(61 * 60_000);
    expect((await reset(second)).body.code).toBe('V6_RECOVERY_TOKEN');
  });

  it('keeps its token when the new password does not follow the rule', async () => {
    await lost({ username: 'nora' });
    const token = await mailedToken();
    const weak = await reset(token, 'weak');
    expect([weak.status, weak.body.errors]).toMatchObject([
      400,
      { password: [expect.any(String)] },
    ]);
    expect((await reset(token)).status).toBe(200);
  });

  it('frees a name from its failed logins at that address', async () => {
    for (let i = 0; i < 5; i += 1) await login('Wrong-pass-1');
    expect((await login(PASSWORD)).status).toBe(429);
    await lost({ username: 'nora' });
    await world.mails.idle();
    const texts = world.mailer.mails.map(({ text }) => text).join();
    await reset(/^[\w-]{43}$/m.exec(texts)?.[0]);
    expect((await login('Other-pass-2')).status).toBe(200);
  });

  it('needs a name or an address', async () => {
    expect((await lost({})).status).toBe(400);
    expect((await lost({ username: 'nora', colour: 'red' })).status).toBe(400);
  });

  it('cannot be asked for without end from one address', async () => {
    for (let i = 0; i < 20; i += 1) expect((await lost({ username: `n${i}` })).status).toBe(200);
    const late = await lost({ username: 'nora' });
    expect([late.status, late.headers['retry-after']]).toStrictEqual([429, '900']);
    expect((await lost({ username: 'nora' }, '192.0.2.2')).status).toBe(200);
  });
});

describe('a server without smtp', () => {
  it('says so to everybody alike', async () => {
    const silent = await createWorld();
    const ask = (username: string) => silent.call('POST', '/recover/lost', { body: { username } });
    const known = await ask('nora');
    expect([known.status, known.body.code]).toStrictEqual([501, 'V6_MAIL_OFF']);
    expect((await ask('nobody')).body).toStrictEqual(known.body);
    await silent.close();
  });
});

describe('failed logins', () => {
  it('are told to the user by mail, once', async () => {
    for (let i = 0; i < 8; i += 1) await login('Wrong-pass-1');
    await world.mails.idle();
    expect(world.mailer.mails).toHaveLength(1);
    expect(world.mailer.mails[0]).toMatchObject({
      to: 'nora@example.org',
      subject: expect.stringContaining('failed logins'),
    });
  });
});

describe('POST /token/user/validate', () => {
  it('tells an algorithm store whose token it was given', async () => {
    const answer = await world.call('POST', '/token/user/validate', { token: world.nora.token });
    expect([answer.status, answer.body]).toMatchObject([
      200,
      {
        msg: expect.any(String),
        user_id: world.nora.id,
        username: 'nora',
        email: 'nora@example.org',
        organization_id: world.north,
      },
    ]);
    const node = await world.call('POST', '/token/user/validate', { token: world.northNode.token });
    expect(node.status).toBe(403);
  });
});
