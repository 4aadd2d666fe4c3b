import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/core/logger.ts';
import type { DaemonNetwork, DaemonStatus, Verdict } from '../../src/core/protocol/daemon.ts';
import { type ControlServer, serveControl } from '../../src/node/control.ts';
import { OFF_VERDICT } from '../../src/node/vpn/verdict.ts';
import { type CliResult, runCli } from '../support/run-cli.ts';

const API_KEY = 'c4nary-api-key-1234';
const GOOD = `api_key: ${API_KEY}\nserver_url: http://localhost\nport: 7601\napi_path: /api\n`;
let home: string;
let control: ControlServer | undefined;

beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'v6-node-'));
  await mkdir(path.join(home, 'config/vantage6/node'), { recursive: true });
});

afterEach(async () => {
  await control?.close();
  control = undefined;
  await rm(home, { recursive: true, force: true });
});

/** For a user who is not root, so that the control socket lies below the test's own folder. */
const env = () => ({
  HOME: home,
  XDG_CONFIG_HOME: `${home}/config`,
  XDG_RUNTIME_DIR: `${home}/run`,
  DOCKER_HOST: `unix://${home}/no-engine.sock`,
  V6_HOST_UID: '1000',
});

const node = (...args: readonly string[]): Promise<CliResult> =>
  runCli(['node', ...args], { env: env() });

async function configure(text: string): Promise<string> {
  const file = path.join(home, 'config/vantage6/node/alpha.yaml');
  await writeFile(file, text);
  return file;
}

function errorOf({ stdout }: CliResult): { code: string; message: string; hints: string[] } {
  return (JSON.parse(stdout) as { error: { code: string; message: string; hints: string[] } })
    .error;
}

describe('v6 node start, with what is wrong', () => {
  it('ends with 78 when there is no configuration, and names those that there are', async () => {
    await configure(GOOD);
    const { status, stdout, stderr } = await node('start', '--name', 'beta');
    expect(status).toBe(78);
    expect(stdout).toBe('');
    expect(stderr).toContain('Error V6_CONFIG_NOT_FOUND');
    expect(stderr).toContain('beta.yaml');
    expect(stderr).toContain('alpha');
  });

  it('ends with 78 for a vpn_subnet with host bits, and suggests the network', async () => {
    const file = await configure(`${GOOD}vpn_subnet: 10.76.3.0/16\n`);
    const result = await node('start', '--config', file, '--json');
    expect(result.status).toBe(78);
    expect(errorOf(result)).toMatchObject({ code: 'V6_CONFIG_SUBNET' });
    expect(errorOf(result).hints.join(' ')).toContain('10.76.0.0/16');
  });

  it('ends with 78 for a file that is not YAML, without showing the API key', async () => {
    const result = await node('start', '--config', await configure(`${GOOD}  port: {\n`), '--json');
    expect(result.status).toBe(78);
    expect(errorOf(result).code).toBe('V6_CONFIG_SYNTAX');
    expect(result.stdout + result.stderr).not.toContain(API_KEY);
  });

  it('ends with 78 for an API key that is none', async () => {
    const text = GOOD.replace(API_KEY, '12345');
    const result = await node('start', '--config', await configure(text), '--json');
    expect(result.status).toBe(78);
    expect(errorOf(result).message).toContain('api_key');
  });

  it('ends with 69 when no engine answers', async () => {
    await configure(GOOD);
    const result = await node('start', '--name', 'alpha', '--json');
    expect(result.status).toBe(69);
    expect(errorOf(result).code).toBe('V6_ENGINE_MISSING');
  });

  it('ends with 2 for a name that is none, and for two scopes', async () => {
    expect((await node('start', '--name', 'a b')).status).toBe(2);
    expect((await node('start', '--name', 'a', '--user', '--system')).status).toBe(2);
  });
});

describe('commands about a node that is not running', () => {
  it.each([[['status']], [['vpn', 'renew']]])('end with 69: %j', async (words) => {
    const result = await node(...words, '--name', 'alpha', '--json');
    expect(result.status).toBe(69);
    expect(errorOf(result).code).toBe('V6_NODE_NOT_RUNNING');
    expect(errorOf(result).hints.join(' ')).toContain('v6 node start --name alpha');
  });

  it.each([[['stop']], [['stop', '--all']], [['logs']], [['status']]])(
    'end with 69 when no engine answers that they need: %j',
    async (words) => {
      const { status, stderr } = await node(...words);
      expect(status).toBe(69);
      expect(stderr).toContain('V6_ENGINE_MISSING');
    },
  );
});

describe('commands about a running node', () => {
  const status = {
    node: { id: 3, name: 'alpha', organization: 2, collaboration: 1 },
    pid: 1,
    startedAt: '2030-01-01T00:00:00.000Z',
    server: { url: 'http://localhost:7601/api', connected: true },
    vpn: { ...OFF_VERDICT, certificateExpiresAt: null, connectedSince: null },
    encryption: null,
    engine: { version: '20.10.24', liveRestore: false },
    slots: { total: 4, busy: 0 },
    runs: [],
    queued: 0,
  } satisfies DaemonStatus;
  const network: DaemonNetwork = {
    uplink: 'v6a-user-alpha',
    slots: [],
    vpnClient: { container: 'c', running: true, rules: '' },
    hostRules: 'table inet v6guard',
    host: null,
  };

  async function run(renewed: Verdict): Promise<void> {
    control = await serveControl(
      {
        status: () => status,
        verdict: async () => OFF_VERDICT,
        renew: async () => renewed,
        vpn: async () => ({
          ...renewed,
          level: 'none',
          connectedSince: null,
          remote: null,
          bytes: null,
          certificateExpiresAt: null,
          renewsAt: null,
          lastError: null,
        }),
        disconnect: async () => ({ ...renewed, state: 'disconnected', vpnAddress: null }),
        release: async () => ({ ...renewed, state: 'disconnected', vpnAddress: null }),
        connect: async () => renewed,
        network: async () => network,
      },
      { runDir: `${home}/run/v6/user/alpha`, logger: silentLogger },
    );
  }

  it('show its status, for people and as one document', async () => {
    await run(OFF_VERDICT);
    const text = await node('status', '--name', 'alpha');
    expect(text.status).toBe(0);
    expect(text.stdout).toContain('VPN            off (vpn_subnet is empty)');
    const json = await node('status', '--name', 'alpha', '--json');
    expect(JSON.parse(json.stdout)).toEqual(status);
  });

  it('show its rules on the host', async () => {
    await run(OFF_VERDICT);
    const { stdout, status: exit } = await node('network', 'show', '--name', 'alpha');
    expect(stdout).toContain('table inet v6guard');
    expect(exit).toBe(0);
  });

  it('renew its credential, or end with the cause', async () => {
    const connected: Verdict = {
      ...OFF_VERDICT,
      state: 'connected',
      vpnAddress: '10.76.0.5',
      rung: 'renew',
    };
    await run(connected);
    const good = await node('vpn', 'renew', '--name', 'alpha', '--force', '--json');
    expect(JSON.parse(good.stdout)).toMatchObject({ state: 'connected', vpnAddress: '10.76.0.5' });
    await control?.close();
    await run({
      ...connected,
      warning: { code: 'V6_PORTAL_UNREACHABLE', message: 'No answer from the portal', hints: [] },
    });
    const bad = await node('vpn', 'renew', '--name', 'alpha', '--force', '--json');
    expect(bad.status).toBe(69);
    expect(errorOf(bad).code).toBe('V6_PORTAL_UNREACHABLE');
    await control?.close();
    await run(OFF_VERDICT);
    expect((await node('vpn', 'renew', '--name', 'alpha')).status).toBe(78);
  });

  it('show, end and bring back its tunnel', async () => {
    await run({ ...OFF_VERDICT, state: 'connected', vpnAddress: '10.76.0.5', rung: 'existing' });
    const status = await node('vpn', 'status', '--name', 'alpha', '--json');
    expect(JSON.parse(status.stdout)).toMatchObject({ vpnAddress: '10.76.0.5', level: 'none' });
    const ended = await node('vpn', 'disconnect', '--name', 'alpha');
    expect([ended.status, ended.stdout.trim()]).toEqual([0, 'VPN: disconnected on request']);
    const back = await node('vpn', 'connect', '--name', 'alpha');
    expect(back.stdout).toContain('connected as 10.76.0.5');
  });
});
