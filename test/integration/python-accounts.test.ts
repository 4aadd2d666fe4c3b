import { Secret, TOTP } from 'otpauth';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PythonClients, type PythonUser } from '../support/python-client.ts';
import {
  freePort,
  rootPassword,
  type ServerProcess,
  startServerProcess,
} from '../support/server-process.ts';
import { type SmtpSink, startSmtpSink } from '../support/smtp-sink.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { until } from '../support/wait.ts';

// The real Python user client at our server with second factors and mail: what it needs when something was lost.

const PASSWORD = 'Right-pass-1';
const STEP_MS = 30_000;

let folder: TempFolder;
let sink: SmtpSink;
let server: ServerProcess;
let python: PythonClients;
let root: PythonUser;
let alice: PythonUser;

beforeAll(async () => {
  folder = await tempFolder();
  sink = await startSmtpSink();
  const smtp = `smtp: {server: 127.0.0.1, port: ${sink.port}, MAIL_USE_TLS: false}`;
  const policy = 'password_policy: {between_user_emails_minutes: 0}';
  const config = `two_factor_auth: true\nserver_name: trial\n${smtp}\n${policy}\n`;
  server = await startServerProcess(folder.path, { port: await freePort(), config });
  python = await PythonClients.start();
  root = await python.open('root', server.port);
  alice = await python.open('alice', server.port);
});
afterAll(async () => {
  python?.stop();
  await server?.stop();
  await sink?.close();
  await folder?.remove();
});

/** The code of an authenticator app whose clock is off by whole steps: each code counts once. Never within the last seconds of a step, which the login may take. */
async function codeOf(secret: string, steps: number): Promise<string> {
  await until('the step is young', 15_000, () => Date.now() % STEP_MS < STEP_MS - 6000);
  const timestamp = Date.now() + steps * STEP_MS;
  return new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp });
}

/** What the client prints for somebody who cannot scan its picture. */
const secretIn = (said: string): string =>
  /manually to your authenticator app: (\w+)/.exec(said)?.[1] ?? '';

async function tokenInMail(number: number): Promise<string> {
  await until(`mail ${number} comes`, 10_000, () => sink.mails.length >= number);
  const mail = sink.mails[number - 1];
  expect(mail?.to).toBe('alice@example.org');
  const text = (mail?.data ?? '').replaceAll('=\r\n', '').replaceAll('=3D', '=');
  return /^[\w-]{40,}\r?$/m.exec(text)?.[0].trim() ?? '';
}

describe('a Python user client with a second factor', () => {
  it('shows the secret at the first login, and then logs in with a code only', async () => {
    const login = { username: 'root', password: await rootPassword(folder.path) };
    const { said } = await root.ask('authenticate', login);
    expect(said).toContain('obligatory two-factor authentication');
    // Shown again as long as no code of it has been seen: whoever lost the picture is not locked out.
    const secret = secretIn((await root.ask('authenticate', login)).said);
    expect(secret).toMatch(/^[A-Z2-7]{32}$/);
    const wrong = root.ask('authenticate', { ...login, mfa_code: '000000' });
    await expect(wrong).rejects.toMatchObject({ type: 'AuthenticationException' });
    await root.ask('authenticate', { ...login, mfa_code: await codeOf(secret, 0) });
    const without = root.ask('authenticate', login);
    await expect(without).rejects.toMatchObject({ type: 'Exception' });
    expect((await root.ask('util.get_server_version')).value).toHaveProperty('version');
    const person = { firstname: 'A', lastname: 'B', email: 'alice@example.org', organization: 1 };
    await root.record('user.create', {
      ...person,
      username: 'alice',
      password: PASSWORD,
      roles: [1],
    });
  });

  it('gets a new password by mail', async () => {
    const { said } = await alice.ask('util.reset_my_password', { username: 'alice' });
    expect(said).toContain('-->');
    const token = await tokenInMail(1);
    await alice.ask('util.set_my_password', { token, password: `${PASSWORD}-2` });
    const old = alice.ask('authenticate', { username: 'alice', password: PASSWORD });
    await expect(old).rejects.toMatchObject({ type: 'AuthenticationException' });
  });

  it('gets a new second factor by mail', async () => {
    const login = { username: 'alice', password: `${PASSWORD}-2` };
    const first = secretIn((await alice.ask('authenticate', login)).said);
    await alice.ask('authenticate', { ...login, mfa_code: await codeOf(first, -1) });
    await alice.ask('util.reset_two_factor_auth', login);
    const { said } = await alice.ask('util.set_two_factor_auth', { token: await tokenInMail(2) });
    const second = secretIn(said);
    expect(second).not.toBe(first);
    const old = alice.ask('authenticate', { ...login, mfa_code: await codeOf(first, 1) });
    await expect(old).rejects.toMatchObject({ type: 'AuthenticationException' });
    // Python's client lets a code be a number.
    const mfa_code = await codeOf(second, 0);
    await alice.ask('authenticate', {
      ...login,
      mfa_code: mfa_code.startsWith('0') ? mfa_code : Number(mfa_code),
    });
    expect((await alice.record('user.get', {})).username).toBe('alice');
  });
});
