import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { logIn as logInAt } from '../../src/adapters/http/user-session.ts';
import { createLoginFile } from '../../src/adapters/login-file/login-file.ts';
import { V6_VERSION } from '../../src/core/labels.ts';
import type { VpnTestReport } from '../../src/core/vpn/test-report.ts';
import { FakeCoordinationServer } from '../fakes/coordination-server.ts';
import { loopbackOf, serveEchoTasks } from '../support/echo-nodes.ts';
import { type CliResult, runCli } from '../support/run-cli.ts';

let server: FakeCoordinationServer;
let home: string;

beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'v6-vpn-test-'));
  server = new FakeCoordinationServer();
  await server.start();
});
afterEach(async () => {
  await server.stop();
  await rm(home, { recursive: true, force: true });
});

const env = () => ({ HOME: home, XDG_CONFIG_HOME: `${home}/config` });

/** As `v6 login` would have stored it. */
async function logIn(): Promise<void> {
  const login = await logInAt({
    serverUrl: server.url,
    username: 'researcher',
    password: 'right password',
  });
  await createLoginFile(`${home}/config/v6/logins.json`).save('default', login);
}

function addNodes(...organizations: readonly number[]): void {
  for (const organization of organizations)
    server.addNode({ organization, ip: loopbackOf(organization), name: `node-${organization}` });
}

async function vpnTest(...args: readonly string[]): Promise<CliResult> {
  await logIn();
  return runCli(['vpn', 'test', ...args], { env: env() });
}

async function schema(): Promise<z.ZodType> {
  const text = await readFile(
    path.join(import.meta.dirname, '../../schemas/vpn-test.json'),
    'utf8',
  );
  return z.fromJSONSchema(JSON.parse(text) as Parameters<typeof z.fromJSONSchema>[0]);
}

describe('v6 vpn test', () => {
  it('prints a 3 × 3 matrix with round trips and ends with 0 when all 18 pairs passed', async () => {
    addNodes(1, 2, 3);
    serveEchoTasks(server);
    const { status, stdout, stderr } = await vpnTest();
    expect(stderr).toContain('Task 1 runs on 3 of 3 nodes.\n');
    expect(stdout.match(/ok \d+(\.\d+)? ms/g)).toHaveLength(18);
    expect(stdout).toContain('18 of 18 pairs passed, 0 failed');
    expect(status).toBe(0);
    expect(server.tasks[0]).toMatchObject({ image: `v6-echo:${V6_VERSION}`, collaboration: 1 });
  });

  it('prints one document that fits its schema with --json', async () => {
    addNodes(1, 2, 3);
    serveEchoTasks(server);
    const { status, stdout, stderr } = await vpnTest('--json');
    const report = JSON.parse(stdout) as VpnTestReport;
    expect((await schema()).safeParse(report).error).toBeUndefined();
    expect(report).toMatchObject({
      ok: true,
      collaboration: 1,
      task: 1,
      summary: { pairs: 18, passed: 18, failed: 0 },
    });
    expect(stderr).not.toContain('Task 1');
    expect(status).toBe(0);
  });

  it('ends with 3 and still prints the whole document when a pair failed', async () => {
    addNodes(1, 2);
    serveEchoTasks(server, { patienceMs: 600, addressLimitMs: 800 });
    const serve = server.onRun;
    // The algorithm of organization 2 cannot start.
    server.onRun = (run, task, at) => {
      if (run.organization === 1) return serve(run, task, at);
      run.status = 'start failed';
      run.log = 'no space left on device';
      run.finishedAt = new Date().toISOString();
      return Promise.resolve();
    };
    const { status, stdout } = await vpnTest('--json');
    const report = JSON.parse(stdout) as VpnTestReport;
    expect((await schema()).safeParse(report).error).toBeUndefined();
    expect(report.summary).toMatchObject({ pairs: 8, passed: 2, failed: 6 });
    expect(report.pairs.filter(({ ok }) => !ok).map(({ error }) => error?.hop)).toEqual(
      Array.from({ length: 6 }, () => 'engine'),
    );
    expect(report.pairs.find(({ from }) => from === 2)?.error?.message).toContain(
      'no space left on device',
    );
    expect(status).toBe(3);
  });

  it('lists failed pairs with hop and next step for a human', async () => {
    addNodes(1, 2);
    serveEchoTasks(server, { patienceMs: 600, addressLimitMs: 800 });
    const [, second] = server.nodes;
    if (second !== undefined) Object.assign(second, { ip: null, config: [vpnOn] });
    const { status, stdout } = await vpnTest();
    expect(status).toBe(3);
    expect(stdout).toContain('node-1 → node-2');
    expect(stdout).toContain('hop: tunnel');
    expect(stdout).toContain('hop: peer-client');
    expect(stdout).toContain('npx v6 node vpn renew');
    expect(stdout).toMatch(/^\d of 8 pairs passed/m);
  });

  it('lists nodes without VPN and offline ones, and passes without them', async () => {
    addNodes(1, 2);
    server.addNode({ organization: 3, ip: null, config: [{ key: 'vpn', value: 'off' }] });
    server.addNode({ organization: 4, status: 'offline' });
    serveEchoTasks(server);
    const { status, stdout } = await vpnTest();
    expect(stdout).toContain('Not tested: node-3 (works without VPN)');
    expect(stdout).toContain('Not tested: node-4 (offline)');
    expect(stdout).toContain('8 of 8 pairs passed');
    expect(status).toBe(0);
  });

  it('fails the pairs of a node that was named and is offline', async () => {
    addNodes(1, 2);
    server.addNode({ organization: 4, status: 'offline' });
    serveEchoTasks(server);
    const { status, stdout } = await vpnTest('--json', '--node', 'node-1', '--node', 'node-4');
    const report = JSON.parse(stdout) as VpnTestReport;
    expect(status).toBe(3);
    expect(report.nodes.map(({ node }) => node)).toEqual(['node-1', 'node-4']);
    expect(report.summary).toMatchObject({ pairs: 8, passed: 2 });
    expect(report.pairs.find(({ to }) => to === 4)?.error).toMatchObject({
      code: 'V6_TEST_NODE_OFFLINE',
      hop: null,
    });
  });

  it('ends the task and exits with 130 on Ctrl-C', async () => {
    addNodes(1, 2);
    await logIn();
    let isInterrupted = false;
    const result = await runCli(['vpn', 'test'], {
      env: env(),
      onStderr: (text, interrupt) => {
        if (isInterrupted || !text.includes('Task 1 runs')) return;
        isInterrupted = true;
        interrupt();
      },
    });
    expect(result.status).toBe(130);
    expect(result.stderr).toContain('Error V6_INTERRUPTED');
    expect(server.killed).toEqual([1]);
  });

  it('ends a task that does not end within --timeout, and counts its pairs as failed', async () => {
    addNodes(1);
    const { status, stdout } = await vpnTest('--json', '--timeout', '1');
    const report = JSON.parse(stdout) as VpnTestReport;
    expect(status).toBe(3);
    expect(server.killed).toEqual([1]);
    expect(report.pairs[0]?.error).toMatchObject({
      code: 'V6_TEST_NO_REPORT',
      message: 'run 1 on node node-1 is still pending',
    });
  });

  it.each<readonly [string, readonly string[], () => unknown, number, string]>([
    ['no nodes', [], () => undefined, 3, 'V6_TEST_NO_NODES'],
    [
      'only nodes that are offline',
      [],
      () => server.addNode({ organization: 1, status: 'offline' }),
      3,
      'V6_TEST_NO_NODES',
    ],
    [
      'only nodes without VPN',
      [],
      () => server.addNode({ organization: 1, ip: null }),
      3,
      'V6_TEST_NO_NODES',
    ],
    ['a node that is not there', ['--node', 'gamma'], () => addNodes(1), 2, 'V6_USAGE'],
    [
      'a collaboration that is not there',
      ['--collaboration', '9'],
      () => addNodes(1),
      2,
      'V6_REQUEST_NOT_FOUND',
    ],
    [
      'several collaborations and no choice',
      [],
      () => server.collaborations.push({ id: 2, name: 'other', encrypted: false }),
      2,
      'V6_USAGE',
    ],
    [
      'an encrypted collaboration without a private key',
      [],
      () => {
        addNodes(1);
        server.collaborations.splice(0, 1, { id: 1, name: 'secret', encrypted: true });
      },
      78,
      'V6_TEST_ENCRYPTED',
    ],
  ])('refuses %s', async (_what, args, arrange, expected, code) => {
    arrange();
    const { status, stdout } = await vpnTest('--json', ...args);
    expect((JSON.parse(stdout) as { error: { code: string } }).error.code).toBe(code);
    expect(status).toBe(expected);
    expect(server.tasks).toEqual([]);
  });

  it('says how to log in when nobody is, with 2', async () => {
    const { status, stderr } = await runCli(['vpn', 'test'], { env: env() });
    expect(status).toBe(2);
    expect(stderr).toContain('Error V6_LOGIN_NOT_FOUND');
    expect(stderr).toContain('npx v6 login');
  });

  it('says that the server does not answer, with 69', async () => {
    await logIn();
    await server.stop();
    const { status, stderr } = await runCli(['vpn', 'test'], { env: env() });
    await server.start();
    expect(status).toBe(69);
    expect(stderr).toContain('Error V6_SERVER_UNREACHABLE');
  });

  it('says that the file of logins is not ours, with 78', async () => {
    await logIn();
    await writeFile(`${home}/config/v6/logins.json`, 'something else');
    const { status, stderr } = await runCli(['vpn', 'test'], { env: env() });
    expect(status).toBe(78);
    expect(stderr).toContain('Error V6_CONFIG_SYNTAX');
  });

  it('renews a token that has run out and stores the new one', async () => {
    addNodes(1);
    serveEchoTasks(server);
    server.accessLifeSeconds = 1;
    await logIn();
    const before = await readFile(`${home}/config/v6/logins.json`, 'utf8');
    server.accessLifeSeconds = 3600;
    const { status } = await runCli(['vpn', 'test'], { env: env() });
    expect(status).toBe(0);
    expect(server.refreshes).toBe(1);
    expect(await readFile(`${home}/config/v6/logins.json`, 'utf8')).not.toBe(before);
  });

  it('says that the login has run out when it cannot be renewed, with 77', async () => {
    server.accessLifeSeconds = 1;
    await logIn();
    server.intercept = (_method, at) =>
      at === '/token/refresh' ? [401, { msg: 'expired' }] : undefined;
    const { status, stderr } = await runCli(['vpn', 'test'], { env: env() });
    expect(status).toBe(77);
    expect(stderr).toContain('Error V6_AUTH_TOKEN_EXPIRED');
    expect(stderr).toContain('npx v6 login --server');
  });
});

const vpnOn = { key: 'vpn', value: 'on' };
