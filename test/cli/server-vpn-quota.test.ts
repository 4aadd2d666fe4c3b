import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseServerConfig } from '../../src/core/config/server-config.ts';
import type { LogFields, Logger } from '../../src/core/logger.ts';
import { loadServerKeys } from '../../src/server/auth/secret.ts';
import { type RunningServer, startServer } from '../../src/server/compose.ts';
import { openServerStore } from '../../src/server/compose-admin.ts';
import { createNode } from '../../src/server/services/nodes.ts';
import {
  type PortalSimulator,
  SIMULATED,
  startPortalSimulator,
} from '../support/portal-simulator.ts';
import { runCli } from '../support/run-cli.ts';
import { addOrganization } from '../support/server-app.ts';

const NODES = 10;
const LIMIT = 3;

let folder: string;
let dataDir: string;
let portal: PortalSimulator;
let server: RunningServer;
let nodes: { readonly name: string; readonly token: string }[];
const log: { readonly message: string; readonly fields: LogFields }[] = [];
const note = (message: string, fields: LogFields = {}): void => void log.push({ message, fields });
const logger: Logger = { debug: note, info: note, warn: note, error: note };

const configText = (): string => `uri: sqlite:///trial.sqlite
ip: 127.0.0.1
port: 7601
vpn_server:
  url: ${portal.url}
  redirect_url: ${SIMULATED.redirectUrl}
  client_id: ${SIMULATED.clientId}
  client_secret: ${SIMULATED.clientSecret}
  portal_username: ${SIMULATED.username}
  portal_userpass: ${SIMULATED.password}
`;
const configFile = (): string => path.join(folder, 'trial.yaml');

async function start(): Promise<void> {
  const config = parseServerConfig(configText(), configFile());
  server = await startServer({ config: { ...config, port: 0 }, dataDir, logger });
}

/** Ten nodes of one collaboration at a server whose portal has eduVPN's default limit. */
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'v6-quota-'));
  dataDir = path.join(folder, '.local/share/vantage6/server/trial');
  portal = await startPortalSimulator({ maxActiveConfigurations: LIMIT });
  await writeFile(configFile(), configText(), { mode: 0o600 });
  await start();
  const config = parseServerConfig(configText(), configFile());
  const store = await openServerStore(config, dataDir);
  const { apiKey: apiKeyDigestKey } = loadServerKeys(dataDir, undefined);
  const collaborationId = await store.collaborations.create({ name: 'Trial', encrypted: false });
  const made: { readonly name: string; readonly apiKey: string }[] = [];
  for (let at = 0; at < NODES; at += 1) {
    const organizationId = await addOrganization(store, `Organization ${at}`);
    await store.collaborations.setMembers(collaborationId, [organizationId]);
    const input = { organizationId, collaborationId, name: `node${at}` };
    const { node, apiKey } = await createNode({ store, apiKeyDigestKey }, input);
    made.push({ name: node.name, apiKey });
  }
  await store.close();
  nodes = [];
  for (const { name, apiKey } of made) {
    const { body } = await ask('POST', '/token/node', { api_key: apiKey });
    nodes.push({ name, token: String(body.access_token) });
  }
}, 120_000);

afterAll(async () => {
  await server?.stop();
  await portal?.close();
  await rm(folder, { recursive: true, force: true });
});

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

async function ask(method: string, route: string, body?: unknown, token?: string): Promise<Answer> {
  const response = await fetch(`${server.url}${route}`, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(30_000),
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

const getVpn = (at: number): Promise<Answer> => ask('GET', '/vpn', undefined, nodes[at]?.token);
const updateVpn = (at: number): Promise<Answer> =>
  ask('POST', '/vpn/update', { vpn_config: 'client\n' }, nodes[at]?.token);

async function cli(...args: string[]): Promise<Record<string, unknown>> {
  const { stdout, stderr, status } = await runCli(
    ['server', 'vpn', ...args, '--user', '--config', configFile(), '--json'],
    { env: { HOME: folder } },
  );
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout) as Record<string, unknown>;
}

const holders = (): readonly number[] =>
  portal
    .configurations()
    .map(({ node }) => nodes.findIndex(({ name }) => node?.startsWith(`${name}-`)))
    .toSorted((a, b) => a - b);

function expectNobodyEvicted(): void {
  expect(portal.evictions).toEqual([]);
  expect(portal.mostAtOnce).toBeLessThanOrEqual(LIMIT);
}

describe("ten nodes on one account of a portal with eduVPN's limit of three", () => {
  it('get three configs, and the other seven a refusal that says why', async () => {
    const answers = await Promise.all(nodes.map((_node, at) => getVpn(at)));
    expectNobodyEvicted();
    const given = answers.flatMap(({ status }, at) => (status === 200 ? [at] : []));
    expect(given).toHaveLength(LIMIT);
    expect(holders()).toEqual(given);
    for (const { status, body } of answers.filter((answer) => answer.status !== 200)) {
      expect([status, body.code]).toEqual([503, 'V6_PORTAL_QUOTA']);
      const said = JSON.stringify(body);
      expect(said).toContain('Api.maxActiveConfigurations');
      expect(said).toContain('v6 server vpn revoke NODE');
    }
  }, 60_000);

  it('stay as they are through a restart in the middle of requests', async () => {
    const before = holders();
    const waiting = Promise.allSettled(nodes.map((_node, at) => getVpn(at)));
    await server.stop();
    await waiting;
    await start();
    expectNobodyEvicted();
    const answers = await Promise.all(nodes.map((_node, at) => getVpn(at)));
    expectNobodyEvicted();
    const given = answers.flatMap(({ status }, at) => (status === 200 ? [at] : []));
    expect(given).toEqual(before);
    expect(holders()).toEqual(before);
  }, 60_000);

  it('let the next one in after the VPN of one is revoked, and the revoked one not back', async () => {
    const [first = -1] = holders();
    const next = nodes.findIndex((_node, at) => !holders().includes(at));
    const another = nodes.findIndex((_node, at) => at !== next && !holders().includes(at));
    await cli('revoke', nodes[first]?.name ?? '', '--yes');
    expect(holders()).toHaveLength(LIMIT - 1);
    expect((await getVpn(first)).body.code).toBe('V6_VPN_REVOKED');
    expect((await getVpn(next)).status).toBe(200);
    expect(holders()).toContain(next);
    expect((await getVpn(another)).body.code).toBe('V6_PORTAL_QUOTA');
    // Allowed again it may ask, but there is no room now.
    await cli('allow', nodes[first]?.name ?? '');
    expect((await getVpn(first)).body.code).toBe('V6_PORTAL_QUOTA');
    expectNobodyEvicted();
    expect(await cli('leases')).toMatchObject({ limit: LIMIT, held: LIMIT });
  }, 90_000);

  it('renew in place, all at once, and the retry of a request gets the same answer', async () => {
    const [first = -1, second = -1] = holders();
    const both = await Promise.all([updateVpn(first), updateVpn(first), updateVpn(second)]);
    expect(both.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(both[0]?.body).toEqual(both[1]?.body);
    expect((await updateVpn(first)).body).toEqual(both[0]?.body);
    expect(both[2]?.body).not.toEqual(both[0]?.body);
    expectNobodyEvicted();
    expect(holders()).toHaveLength(LIMIT);
  }, 60_000);

  it('leave a line in the log for each config and each refusal, with the node, and no secret', () => {
    const messages = log.map(({ message }) => message);
    expect(messages.filter((message) => message === 'Client config issued').length).toBeGreaterThan(
      LIMIT,
    );
    const refused = log.filter(({ message }) => message === 'Client config refused');
    const codes = new Set(refused.map(({ fields }) => fields.code));
    for (const code of ['V6_PORTAL_QUOTA', 'V6_VPN_REVOKED']) expect(codes).toContain(code);
    expect(refused.every(({ fields }) => typeof fields.node === 'number')).toBe(true);
    const issued = log.find(({ message }) => message === 'Client config issued');
    expect(Object.keys(issued?.fields ?? {}).toSorted()).toEqual([
      'collaboration',
      'expiresAt',
      'kind',
      'node',
      'organization',
    ]);
    const said = JSON.stringify(log);
    for (const secret of [
      SIMULATED.password,
      SIMULATED.clientSecret,
      'PRIVATE KEY',
      'access_token.',
    ])
      expect(said).not.toContain(secret);
  });
});
