import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeCoordinationServer } from '../fakes/coordination-server.ts';
import { type CliResult, runCli } from '../support/run-cli.ts';

let server: FakeCoordinationServer;
let home: string;

beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'v6-login-'));
  server = new FakeCoordinationServer();
  await server.start();
});
afterEach(async () => {
  await server.stop();
  await rm(home, { recursive: true, force: true });
});

const env = () => ({ HOME: home, XDG_CONFIG_HOME: `${home}/config` });
const file = () => `${home}/config/v6/logins.json`;

function login(args: readonly string[] = [], input = 'right password\n'): Promise<CliResult> {
  const base = ['login', '--server', new URL(server.url).origin, '--username', 'researcher'];
  return runCli([...base, '--password-stdin', ...args], { env: env(), input });
}

describe('v6 login', () => {
  it('stores tokens in a file of mode 0600, and no password anywhere', async () => {
    const { status, stdout, stderr } = await login();
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(stdout).toBe(`Logged in at ${server.url} as researcher (login default).\n`);
    expect((await stat(file())).mode & 0o777).toBe(0o600);
    expect((await stat(path.dirname(file()))).mode & 0o777).toBe(0o700);
    const text = await readFile(file(), 'utf8');
    expect(JSON.parse(text)).toMatchObject({
      selected: ['default'],
      logins: { default: { serverUrl: server.url, username: 'researcher' } },
    });
    expect(text).not.toContain('right password');
  });

  it('prints one document with --json, without tokens', async () => {
    const { stdout } = await login(['--login', 'trial', '--json']);
    expect(JSON.parse(stdout)).toEqual({
      login: 'trial',
      server: server.url,
      username: 'researcher',
    });
  });

  it('reads the password from a file, also from one that a variable names', async () => {
    const secret = path.join(home, 'password');
    await writeFile(secret, 'right password\n');
    const flags = ['login', '--server', server.url, '--username', 'researcher'];
    const byFlag = await runCli([...flags, '--password-file', secret], { env: env() });
    const byVariable = await runCli(flags, { env: { ...env(), V6_PASSWORD_FILE: secret } });
    expect([byFlag.status, byVariable.status]).toEqual([0, 0]);
  });

  it('knows server and user of a login that is there', async () => {
    await login(['--login', 'trial']);
    const again = await runCli(['login', '--login', 'trial', '--password-stdin'], {
      env: env(),
      input: 'right password',
    });
    expect(again.status).toBe(0);
  });

  it('refuses a wrong password with its code and exit 77, and stores nothing', async () => {
    const { status, stderr } = await login([], 'canary-4711');
    expect(status).toBe(77);
    expect(stderr).toContain('Error V6_AUTH_FAILED');
    expect(stderr).toContain('"researcher"');
    expect(stderr).not.toContain('canary-4711');
    await expect(stat(file())).rejects.toThrow('ENOENT');
  });

  it('says that the server does not answer, with exit 69', async () => {
    const args = ['--server', 'http://127.0.0.1:1', '--username', 'researcher'];
    const { status, stderr } = await runCli(['login', ...args, '--password-stdin'], {
      env: env(),
      input: 'right password',
    });
    expect(status).toBe(69);
    expect(stderr).toContain('Error V6_SERVER_UNREACHABLE');
    expect(stderr).toContain('http://127.0.0.1:1');
  });

  it('says that something else than a server answers', async () => {
    server.intercept = () => [200, '<html></html>'];
    const { status, stderr } = await login();
    expect(status).toBe(69);
    expect(stderr).toContain('Error V6_SERVER_ANSWER');
  });

  it.each([
    [['login'], '--server'],
    [['login', '--server', 'http://127.0.0.1:1'], '--username'],
    [['login', '--server', 'http://127.0.0.1:1', '--username', 'me'], '--password-file'],
  ])('without a terminal %j names the flag %s and ends with 2', async (args, flag) => {
    const { status, stderr } = await runCli(args, { env: env() });
    expect(status).toBe(2);
    expect(stderr).toContain(`Error V6_USAGE_MISSING_ANSWER: ${flag} is missing`);
  });

  it.each([
    ['a URL that is none', ['--server', 'localhost:7601']],
    ['a name that is none', ['--login', '../x']],
    ['a password file that is not there', ['--password-file', '/nonexistent/password']],
  ])('refuses %s with 2', async (_what, args) => {
    const server = args.includes('--server') ? [] : ['--server', 'http://127.0.0.1:1'];
    const password = args.includes('--password-file') ? [] : ['--password-stdin'];
    const { status, stderr } = await runCli(
      ['login', '--username', 'me', ...server, ...password, ...args],
      { env: env(), input: 'any' },
    );
    expect(status).toBe(2);
    expect(stderr).toContain('Error V6_USAGE');
  });
});

describe('v6 logout', () => {
  it('forgets the current login and goes back to the one before', async () => {
    await login(['--login', 'first']);
    await login(['--login', 'second']);
    const { status, stdout } = await runCli(['logout', '--json'], { env: env() });
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ login: 'second', current: 'first', ended: false });
    expect(await readFile(file(), 'utf8')).not.toContain('second');
  });

  it('says that nobody is logged in, with 2', async () => {
    const { status, stderr } = await runCli(['logout'], { env: env() });
    expect(status).toBe(2);
    expect(stderr).toContain('Error V6_LOGIN_NOT_FOUND: nobody is logged in');
  });
});
