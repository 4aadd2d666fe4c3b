import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseServerConfig } from '../../src/core/config/server-config.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { type RunningServer, startServer } from '../../src/server/compose.ts';
import { runCli } from '../support/run-cli.ts';
import { caller } from '../support/server-process.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { codeOf } from '../support/totp.ts';

let folder: TempFolder;
let server: RunningServer;
beforeEach(async () => {
  folder = await tempFolder();
});
afterEach(async () => {
  await server?.stop();
  await folder.remove();
});

const start = async (extra = ''): Promise<void> => {
  const config = parseServerConfig(`uri: sqlite:///x.sqlite\nip: 127.0.0.1\n${extra}`, 'x');
  server = await startServer({
    config: { ...config, port: 0 },
    dataDir: folder.path,
    logger: silentLogger,
  });
};
const env = () => ({ HOME: folder.path, XDG_CONFIG_HOME: `${folder.path}/config` });
const login = (...flags: string[]) =>
  runCli(
    [
      'login',
      '--server',
      server.url,
      '--username',
      'root',
      '--password-file',
      path.join(folder.path, 'root-password'),
      ...flags,
    ],
    { env: env() },
  );
const tokens = async (): Promise<{ accessToken: string }> =>
  (
    JSON.parse(await readFile(`${folder.path}/config/v6/logins.json`, 'utf8')) as {
      logins: Record<string, { accessToken: string }>;
    }
  ).logins.default ?? { accessToken: '' };

describe('v6 login', () => {
  it('needs --mfa-code where the server asks for a second factor and there is no terminal', async () => {
    await start('two_factor_auth: true\n');
    const password = (await readFile(path.join(folder.path, 'root-password'), 'utf8')).trim();
    const { body } = await caller(server.url)('POST', '/token/user', {
      username: 'root',
      password,
    });
    const code = codeOf(body.otp_secret, new Date());
    const first = await login('--mfa-code', code);
    expect({ status: first.status, stderr: first.stderr }).toMatchObject({ status: 0 });
    const without = await login();
    expect(without.status).toBe(2);
    expect(without.stderr).toContain('--mfa-code is missing');
    const again = await login('--mfa-code', code);
    expect([again.status, again.stderr]).toMatchObject([
      77,
      expect.stringContaining('V6_AUTH_FAILED'),
    ]);
  });
});

describe('v6 logout', () => {
  it('ends the session at the server: copies of its tokens are worthless', async () => {
    await start();
    await login();
    const { accessToken } = await tokens();
    const list = () => caller(server.url, accessToken)('GET', '/user');
    expect((await list()).status).toBe(200);
    const { stdout } = await runCli(['logout', '--json'], { env: env() });
    expect(JSON.parse(stdout)).toStrictEqual({ login: 'default', current: null, ended: true });
    expect((await list()).status).toBe(401);
  });

  it('forgets the tokens also when the server is away, and says so', async () => {
    await start();
    await login();
    await server.stop();
    const { status, stderr } = await runCli(['logout'], { env: env() });
    expect(status).toBe(0);
    expect(stderr).toContain('goes on at the server');
    await expect(tokens()).rejects.toThrow('ENOENT');
  });
});
