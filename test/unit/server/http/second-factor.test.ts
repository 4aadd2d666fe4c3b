import { Secret, TOTP } from 'otpauth';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createWorld, PASSWORD, type World } from '../../../support/server-app.ts';

let world: World;
beforeEach(async () => {
  world = await createWorld({ accounts: { twoFactor: true, serverName: 'trial' }, hasMail: true });
});
afterEach(() => world.close());

const login = (code?: string | number, password = PASSWORD) =>
  world.call('POST', '/token/user', {
    body: { username: 'nora', password, ...(code === undefined ? {} : { mfa_code: code }) },
    from: '192.0.2.1',
  });

const codeOf = (secret: unknown, aheadMs = 0): string =>
  new TOTP({ secret: Secret.fromBase32(String(secret)) }).generate({
    timestamp: world.clock.now().getTime() + aheadMs,
  });

async function enrol(): Promise<string> {
  const { body } = await login();
  expect((await login(codeOf(body.otp_secret))).body).toHaveProperty('access_token');
  await world.clock.turn(60_000);
  return String(body.otp_secret);
}

describe('a second factor', () => {
  it('is offered at the first login with what the Python client reads, and no token', async () => {
    const { status, body } = await login();
    expect(status).toBe(200);
    expect(Object.keys(body).toSorted()).toStrictEqual(['msg', 'otp_secret', 'qr_uri']);
    expect(body.otp_secret).toMatch(/^[A-Z2-7]{32}$/);
    const issuer = 'vantage6%20(trial)';
    expect(body.qr_uri).toBe(
      `otpauth://totp/${issuer}:nora?secret=${String(body.otp_secret)}&issuer=${issuer}`,
    );
  });

  it('is in force only after its first good code, and a secret shown again replaces the one before', async () => {
    const first = (await login()).body.otp_secret;
    const second = (await login()).body.otp_secret;
    expect(second).not.toBe(first);
    expect((await login(codeOf(first))).status).toBe(401);
    expect((await login(codeOf(second))).body).toHaveProperty('access_token');
    expect((await login()).body).toStrictEqual({ msg: expect.stringContaining('mfa_code') });
  });

  it('accepts codes of one step before and after, also as a JSON number', async () => {
    const secret = await enrol();
    expect((await login(codeOf(secret, -30_000))).status).toBe(200);
    expect((await login(Number(codeOf(secret, 30_000)))).body).toHaveProperty('access_token');
    await world.clock.turn(300_000);
    expect((await login(codeOf(secret, 60_000))).status).toBe(401);
    expect((await login(codeOf(secret, -60_000))).status).toBe(401);
  });

  it('takes each code once, also when two requests bring it at the same time', async () => {
    const secret = await enrol();
    const code = codeOf(secret);
    const both = await Promise.all([login(code), login(code)]);
    expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toStrictEqual([200, 401]);
    expect((await login(code)).status).toBe(401);
    // An older one is refused after a newer one.
    expect((await login(codeOf(secret, -30_000))).status).toBe(401);
  });

  it('counts wrong codes as failed logins, and right passwords in between do not help', async () => {
    await enrol();
    const statuses: number[] = [];
    for (let i = 0; i < 6; i += 1) {
      expect([200, 429]).toContain((await login()).status);
      statuses.push((await login('000000')).status);
    }
    expect(statuses).toStrictEqual([401, 401, 401, 401, 401, 429]);
  });

  it('answers a wrong code, a wrong password and an unknown user with the same words', async () => {
    await enrol();
    const unknown = await world.call('POST', '/token/user', {
      body: { username: 'nobody', password: PASSWORD, mfa_code: '000000' },
    });
    const wrongCode = await login('000000');
    const wrongPassword = await login('000000', 'Wrong-pass-1');
    expect([wrongCode.status, wrongCode.body]).toStrictEqual([401, unknown.body]);
    expect(wrongPassword.body).toStrictEqual(unknown.body);
  });

  it('stands encrypted in the database', async () => {
    const secret = await enrol();
    const record = await world.store.secondFactors.find(world.nora.id);
    expect(record?.secret).not.toContain(secret);
    expect(record?.pending).toBeNull();
  });

  it.each(['12345', '1234567', 'abcdef', '', '00000000000'])('refuses %j', async (code) => {
    await enrol();
    const { status, body } = await login(code);
    expect(body).not.toHaveProperty('access_token');
    expect([200, 400, 401]).toContain(status);
  });
});

describe('recovery of a second factor', () => {
  const lost = (password = PASSWORD) =>
    world.call('POST', '/recover/2fa/lost', {
      body: { username: 'nora', email: 'nora@example.org', password },
    });
  const reset = (token: unknown) =>
    world.call('POST', '/recover/2fa/reset', { body: { reset_token: token } });

  it('takes the right password, mails a token, and begins a new secret with it, once', async () => {
    const old = await enrol();
    const { token } = world.nora;
    expect((await lost('Wrong-pass-1')).status).toBe(401);
    expect((await lost()).status).toBe(200);
    await world.mails.idle();
    const mail = world.mailer.mails.at(-1);
    expect(mail?.to).toBe('nora@example.org');
    const mailed = /^[\w-]{43}$/m.exec(mail?.text ?? '')?.[0];
    const begun = await reset(mailed);
    expect(Object.keys(begun.body).toSorted()).toStrictEqual(['msg', 'otp_secret', 'qr_uri']);
    expect((await world.call('GET', '/task', { token })).status).toBe(401);
    expect((await login(codeOf(old))).status).toBe(401);
    expect((await login(codeOf(begun.body.otp_secret))).status).toBe(200);
    const again = await reset(mailed);
    expect([again.status, again.body.code]).toStrictEqual([400, 'V6_RECOVERY_TOKEN']);
  });
});
