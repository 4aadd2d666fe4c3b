import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseServerConfig } from '../../src/core/config/server-config.ts';
import { ServerCli } from '../support/server-cli.ts';

let home: string;
let cli: ServerCli;

beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'v6-new-'));
  cli = new ServerCli(home, 'trial');
});
afterEach(() => rm(home, { recursive: true, force: true }));

const config = async () => parseServerConfig(await cli.text(cli.configFile), 'trial.yaml');

describe('v6 server new', { timeout: 60_000 }, () => {
  it('writes a configuration with safe defaults without asking, where there is no terminal', async () => {
    const { configFile, mode, backup } = await cli.json<{
      configFile: string;
      mode: string;
      backup: null;
    }>('new');
    expect([configFile, mode, backup]).toEqual([cli.configFile, '640', null]);
    expect(await config()).toMatchObject({
      ip: '0.0.0.0',
      port: 7601,
      apiPath: '/api',
      uri: 'sqlite:///default.sqlite',
      logLevel: 'info',
    });
    expect(await cli.text(configFile)).toMatch(/^allow_drop_all: false$/m);
  });

  it('takes every answer as a flag', async () => {
    const { status } = await cli.run('new', [
      '--description',
      'Trial "1"',
      '--ip',
      '127.0.0.1',
      '--port',
      '7700',
      '--api-path',
      '/v1',
      '--uri',
      'sqlite:///trial.sqlite',
      '--server-url',
      'https://v6.example.org/v1',
      '--two-factor',
      '--allow-drop-all',
      '--log-level',
      'WARNING',
      '--tls-certificate',
      '/etc/cert.pem',
      '--tls-key',
      '/etc/key.pem',
    ]);
    expect(status).toBe(0);
    expect(await config()).toMatchObject({
      description: 'Trial "1"',
      ip: '127.0.0.1',
      port: 7700,
      apiPath: '/v1',
      uri: 'sqlite:///trial.sqlite',
      serverUrl: 'https://v6.example.org/v1',
      logLevel: 'warn',
      accounts: { twoFactor: true },
      transport: { tls: { certificate: '/etc/cert.pem', key: '/etc/key.pem' } },
    });
    expect(await cli.text(cli.configFile)).toMatch(/^allow_drop_all: true$/m);
  });

  it('needs a name where it cannot ask for one', async () => {
    const { status, stdout } = await cli.bare(['new', '--user', '--json']);
    expect(status).toBe(2);
    expect(stdout).toContain('V6_USAGE_MISSING_ANSWER');
    expect(stdout).toContain('--name');
  });

  it('never writes over a file that is there, and keeps it with --overwrite', async () => {
    await cli.run('new', ['--port', '7700']);
    const before = await cli.text(cli.configFile);
    expect(await cli.failure('new', ['--port', '7701'])).toMatchObject({
      status: 78,
      code: 'V6_CONFIG_WRITE',
    });
    expect(await cli.text(cli.configFile)).toBe(before);
    const { backup } = await cli.json<{ backup: string }>('new', ['--port', '7701', '--overwrite']);
    expect(await cli.text(backup)).toBe(before);
    expect((await config()).port).toBe(7701);
  });

  it('takes an address with a password from standard input or a file only, and closes the file to others', async () => {
    const uri = 'postgresql://v6:hidden-word@db.example.org/v6';
    const refused = await cli.run('new', ['--uri', uri]);
    expect(refused.status).toBe(2);
    expect(refused.stdout + refused.stderr).not.toContain('hidden-word');
    const written = await cli.run('new', ['--uri-stdin'], `${uri}\n`);
    expect(written.status).toBe(0);
    expect(written.stdout + written.stderr).not.toContain('hidden-word');
    expect((await stat(cli.configFile)).mode & 0o777).toBe(0o600);
    expect((await config()).uri).toBe(uri);
    await writeFile(path.join(home, 'uri'), uri);
    await cli.run('new', ['--uri-file', path.join(home, 'uri'), '--overwrite']);
    expect((await config()).uri).toBe(uri);
  });

  it('names the flag of a value that the server would refuse', async () => {
    for (const [flag, value] of [
      ['--ip', 'a b'],
      ['--uri', 'mysql://x/y'],
      ['--server-url', 'ftp://x'],
      ['--api-path', 'a b'],
    ] as const) {
      const { code, message } = await cli.failure('new', [flag, value]);
      expect([code, message.slice(0, flag.length)]).toEqual(['V6_USAGE', flag]);
    }
    const { status } = await cli.run('new', ['--log-level', 'NOTSET']);
    expect(status).toBe(2);
    await expect(readFile(cli.configFile)).rejects.toThrow('ENOENT');
  });

  it('makes another random jwt_secret_key each time it is asked for one', async () => {
    const keys = [];
    for (const name of ['a', 'b']) {
      const one = new ServerCli(home, name);
      await one.run('new', ['--generate-jwt-secret']);
      keys.push(parseServerConfig(await one.text(one.configFile), name).jwtSecretKey);
    }
    expect(keys[0]).toMatch(/^[\w-]{43}$/);
    expect(keys[0]).not.toBe(keys[1]);
  });
});
