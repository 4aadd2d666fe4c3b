import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseServerConfig } from '../../src/core/config/server-config.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { loadServerKeys } from '../../src/server/auth/secret.ts';
import { type RunningServer, startServer } from '../../src/server/compose.ts';
import { openServerStore } from '../../src/server/compose-admin.ts';
import { createNode } from '../../src/server/services/nodes.ts';
import { type EmbeddedPortal, startEmbeddedPortal } from '../support/embedded-portal.ts';
import { runCli } from '../support/run-cli.ts';
import { addOrganization } from '../support/server-app.ts';

const PASSWORD = 'canary-portal-password';
const SECRET = 'canary-client-secret';

let folder: string;
let file: string;
let portal: EmbeddedPortal;
let server: RunningServer;
let nodeName: string;
let token: string;

/** A server with one node, an embedded portal beside it, both on loopback. */
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'v6-leases-'));
  file = path.join(folder, 'trial.yaml');
  portal = await startEmbeddedPortal({
    user: 'nodes',
    password: PASSWORD,
    client: { id: 'v6', secret: SECRET, redirectUri: 'http://localhost' },
  });
  const dataDir = path.join(folder, '.local/share/vantage6/server/trial');
  await writeConfig(PASSWORD);
  const config = parseServerConfig(configText(PASSWORD), file);
  server = await startServer({ config: { ...config, port: 0 }, dataDir, logger: silentLogger });
  const store = await openServerStore(config, dataDir);
  const organization = await addOrganization(store, 'North');
  const collaboration = await store.collaborations.create({ name: 'Trial', encrypted: false });
  await store.collaborations.setMembers(collaboration, [organization]);
  const { apiKey: apiKeyDigestKey } = loadServerKeys(dataDir, undefined);
  const { node, apiKey } = await createNode(
    { store, apiKeyDigestKey },
    { organizationId: organization, collaborationId: collaboration, name: undefined },
  );
  await store.close();
  nodeName = node.name;
  const answer = await ask('POST', '/token/node', { api_key: apiKey });
  token = String(answer.body.access_token);
}, 60_000);

afterAll(async () => {
  await server?.stop();
  await portal?.close();
  await rm(folder, { recursive: true, force: true });
});

const configText = (password: string): string => `uri: sqlite:///trial.sqlite
ip: 127.0.0.1
port: 7601
vpn_server:
  url: ${portal.url}
  redirect_url: http://localhost
  client_id: v6
  client_secret: ${SECRET}
  portal_username: nodes
  portal_userpass: ${password}
`;
const writeConfig = (password: string): Promise<void> =>
  writeFile(file, configText(password), { mode: 0o600 });

async function ask(method: string, route: string, body?: unknown) {
  const response = await fetch(`${server.url}${route}`, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(15_000),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

async function vpn(...args: string[]) {
  const result = await runCli(['server', 'vpn', ...args, '--user', '--config', file], {
    env: { HOME: folder },
  });
  for (const secret of [PASSWORD, SECRET, token])
    expect(`${result.stdout}${result.stderr}`).not.toContain(secret);
  return result;
}

async function json(...args: string[]): Promise<Record<string, unknown>> {
  const { stdout, status, stderr } = await vpn(...args, '--json');
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout) as Record<string, unknown>;
}

describe('the commands about the VPN of a server, beside the server that runs', () => {
  it('show the settings without their secrets', async () => {
    const { settings } = (await json('show')) as { settings: Record<string, string> };
    expect(settings).toEqual({
      url: portal.url,
      redirect_url: 'http://localhost',
      client_id: 'v6',
      client_secret: '(hidden)',
      portal_username: 'nodes',
      portal_userpass: '(hidden)',
    });
  });

  it('check every step, and ask for no configuration', async () => {
    const checked = await json('check');
    expect(checked).toMatchObject({
      ok: true,
      steps: [
        { step: 'discovery', state: 'passed', found: 'API v3' },
        { step: 'login', state: 'passed' },
        { step: 'profile', state: 'passed', found: 'default (Default)' },
        { step: 'limit', state: 'passed', found: 'any number of nodes' },
      ],
    });
    expect(await json('leases')).toMatchObject({ limit: null, held: 0, leases: [] });
  });

  it('say which step fails, why, and what to do', async () => {
    await writeConfig('wrong');
    const { stdout, status } = await vpn('check');
    expect(status).toBe(78);
    expect(stdout).toContain('✔ the portal answers: API v3');
    expect(stdout).toContain('✖ the server can log in: V6_PORTAL_ACCOUNT');
    expect(stdout).toContain('→ Correct portal_username and portal_userpass');
    expect(stdout).toContain('- there is a profile for the nodes: not tried');
    await writeConfig(PASSWORD);
  });

  it('list who holds what, take it away for good, and give it back', async () => {
    expect((await ask('GET', '/vpn')).body.ovpn_config).toContain('BEGIN CERTIFICATE');
    const { leases, held } = (await json('leases')) as {
      leases: Record<string, unknown>[];
      held: number;
    };
    expect(held).toBe(1);
    expect(leases[0]).toMatchObject({ name: nodeName, state: 'held', online: false });
    expect(Date.parse(String(leases[0]?.expires_at))).toBeGreaterThan(Date.now());

    const unasked = await vpn('revoke', nodeName);
    expect(unasked.status).toBe(2);
    await json('revoke', nodeName, '--yes');
    const refused = await ask('GET', '/vpn');
    expect([refused.status, refused.body.code]).toEqual([403, 'V6_VPN_REVOKED']);
    expect((await vpn('leases')).stdout).toMatch(/revoked +offline/);

    await json('allow', nodeName);
    expect((await ask('GET', '/vpn')).status).toBe(200);
  });

  it('name the nodes that there are when the name is wrong', async () => {
    const { status, stderr } = await vpn('revoke', 'nobody', '--yes');
    expect(status).toBe(2);
    expect(stderr).toContain(nodeName);
  });
});
