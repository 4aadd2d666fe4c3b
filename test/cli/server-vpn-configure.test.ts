import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Config } from '@oclif/core';
import { captureOutput } from '@oclif/test';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import ServerVpnConfigure from '../../src/commands/server/vpn/configure.ts';
import {
  type PortalReplay,
  type RecordedExchange,
  recorded,
  startPortalReplay,
} from '../support/portal-replay.ts';

const CONFIG = `# server of the trial
uri: sqlite:///trial.sqlite   # keep
port: 7601
jwt_secret_key: canary-jwt-secret

# vpn_server:
#   url: https://vpn.example.org
logging: { level: INFO }
`;
const SECRET = 'canary-client-secret';
const PASSWORD = 'canary-portal-password';
const CANARIES = [SECRET, PASSWORD, 'canary-jwt-secret'];
const TO_INFO = [
  recorded('01-discovery', 0),
  recorded('02-login-authorize', 0),
  recorded('02-login-authorize', 1),
  recorded('02-login-authorize', 2),
  recorded('05-token', 0),
  recorded('07-info', 0),
];
const WRONG_PASSWORD = recorded('22-client-vantage6-4.14-wrong-password', 1);

let folder: string;
let file: string;
let replay: PortalReplay | undefined;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'v6-configure-'));
  file = path.join(folder, 'trial.yaml');
  await writeFile(file, CONFIG, { mode: 0o600 });
  await writeFile(path.join(folder, 'secret'), `${SECRET}\n`);
  await writeFile(path.join(folder, 'password'), PASSWORD);
});
afterEach(async () => {
  await replay?.close();
  replay = undefined;
  await rm(folder, { recursive: true, force: true });
});

async function portal(exchanges: readonly RecordedExchange[]): Promise<string> {
  replay = await startPortalReplay(exchanges);
  return replay.url;
}

async function configure(...args: string[]) {
  const root = path.join(import.meta.dirname, '../..');
  const config = await Config.load({ root });
  const output = await captureOutput(() =>
    ServerVpnConfigure.run(['--config', file, ...args], config),
  );
  const exit = (output.error as { oclif?: { exit?: number } } | undefined)?.oclif?.exit ?? 0;
  for (const canary of CANARIES) {
    expect(output.stdout).not.toContain(canary);
    expect(output.stderr).not.toContain(canary);
  }
  return { ...output, exit };
}

function allFlags(url: string): string[] {
  return [
    `--url=${url}`,
    '--redirect-url=http://localhost',
    '--client-id=some-client.vantage6.ai',
    `--client-secret-file=${path.join(folder, 'secret')}`,
    '--portal-username=nodes',
    `--portal-password-file=${path.join(folder, 'password')}`,
  ];
}

function blockFor(url: string): string {
  return `
vpn_server:
  url: "${url}"
  redirect_url: "http://localhost"
  client_id: "some-client.vantage6.ai"
  client_secret: "${SECRET}"
  portal_username: "nodes"
  portal_userpass: "${PASSWORD}"
`;
}

describe('v6 server vpn configure', () => {
  it('logs in to the portal up to info, then adds the block and touches no other byte', async () => {
    const url = await portal(TO_INFO);
    const { stdout, exit } = await configure(...allFlags(url));
    expect(exit).toBe(0);
    expect(await readFile(file, 'utf8')).toBe(CONFIG + blockFor(url));
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readFile(`${file}.bak`, 'utf8')).toBe(CONFIG);
    expect(replay?.unexpected).toEqual([]);
    expect(replay?.requests.map(({ url: { pathname } }) => pathname)).not.toContain(
      '/vpn-user-portal/api/v3/connect',
    );
    expect(stdout).toContain('nodes use its profile default');
    expect(stdout).toContain(`Wrote vpn_server to ${file}`);
  });

  it('writes nothing when the portal does not accept the settings', async () => {
    const url = await portal([...TO_INFO.slice(0, 2), WRONG_PASSWORD]);
    const { stderr, exit } = await configure(...allFlags(url));
    expect(exit).toBe(78);
    expect(stderr).toContain('Error V6_PORTAL_ACCOUNT');
    expect(stderr).toContain('portal_userpass');
    expect(await readFile(file, 'utf8')).toBe(CONFIG);
    expect((await readdir(folder)).toSorted()).toEqual(['password', 'secret', 'trial.yaml']);
  });

  it('shows with --dry-run what would change, and writes nothing', async () => {
    const { stdout, exit } = await configure(...allFlags('https://a.b'), '--no-check', '--dry-run');
    expect(exit).toBe(0);
    expect(stdout).toContain('+ vpn_server:\n+   url: "https://a.b"\n');
    expect(stdout).toContain('+   portal_userpass: [hidden: new]');
    expect(await readFile(file, 'utf8')).toBe(CONFIG);
  });

  it('prints one document with --json, and does not repeat itself', async () => {
    const args = [...allFlags('https://a.b'), '--no-check', '--json'];
    const first = await configure(...args);
    expect(JSON.parse(first.stdout)).toMatchObject({
      file,
      changed: true,
      written: true,
      backup: `${file}.bak`,
      portal: null,
    });
    const second = JSON.parse((await configure(...args)).stdout) as Record<string, unknown>;
    expect(second).toEqual({
      file,
      changed: false,
      written: false,
      backup: null,
      diff: '',
      portal: null,
    });
  });

  it('exits 2 and names the flags when something is missing and there is no terminal', async () => {
    const { stdout, exit } = await configure('--url', 'https://a.b', '--json');
    expect(exit).toBe(2);
    const { error } = JSON.parse(stdout) as {
      error: { code: string; details: { flags: string[] } };
    };
    expect(error.code).toBe('V6_USAGE_MISSING_ANSWER');
    expect(error.details.flags).toContain('--portal-password-file or --portal-password-stdin');
  });

  it('takes secrets from files that the environment names', async () => {
    process.env.V6_CLIENT_SECRET_FILE = path.join(folder, 'secret');
    process.env.V6_PORTAL_PASSWORD_FILE = path.join(folder, 'password');
    try {
      const args = ['--url', 'https://a.b', '--redirect-url', 'http://localhost'];
      await configure(
        ...args,
        '--client-id',
        'some-client.vantage6.ai',
        '--portal-username',
        'nodes',
        '--no-check',
      );
    } finally {
      delete process.env.V6_CLIENT_SECRET_FILE;
      delete process.env.V6_PORTAL_PASSWORD_FILE;
    }
    expect(await readFile(file, 'utf8')).toBe(CONFIG + blockFor('https://a.b'));
  });

  it.each([
    ['a file that is not there', async () => rm(file), 'V6_CONFIG_NOT_FOUND'],
    ['text that is not YAML', () => writeFile(file, 'a: [1\n'), 'V6_CONFIG_SYNTAX'],
    [
      'misplaced keys',
      () => writeFile(file, `${CONFIG}portal_username: x\n`),
      'V6_CONFIG_VPN_KEYS_MISPLACED',
    ],
  ])('exits 78 for %s', async (_name, prepare, code) => {
    await prepare();
    const { stderr, exit } = await configure(...allFlags('https://a.b'), '--no-check');
    expect(exit).toBe(78);
    expect(stderr).toContain(`Error ${code}`);
  });

  it('says when every user of the machine can read the file', async () => {
    await chmod(file, 0o644);
    const { stderr } = await configure(...allFlags('https://a.b'), '--no-check');
    expect(stderr).toContain(`chmod o-r ${file}`);
  });
});
