import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { portalAdmin } from '../../src/adapters/portal-admin/client.ts';
import type { Context } from '../../src/core/context.ts';
import type { Engine } from '../../src/core/engine/engine.ts';
import { labelsFor, names } from '../../src/core/labels.ts';
import { createCertificateMaker } from '../../src/portal/pki.ts';
import type { PortalDeps } from '../../src/portal/portal-deps.ts';
import { portalStatus } from '../../src/portal/portal-status.ts';
import { portalPaths } from '../../src/portal/settings.ts';
import { startPortal } from '../../src/portal/start-portal.ts';
import { stopPortal } from '../../src/portal/stop-portal.ts';
import { hostState } from '../support/host-state.ts';
import { api, logIn, type PortalLogin } from '../support/portal-client.ts';
import { accountOf, type PortalWorld, portalWorld } from '../support/portal-world.ts';
import { until } from '../support/wait.ts';

const SCOPE = 'demo-ptest';
const SUBNET = '10.204.0.0/24';
const CLIENT_LABELS = { 'v6.test': 'portal' };

let world: PortalWorld;
let engine: Engine;
let deps: PortalDeps;
let context: Context;

beforeAll(async () => {
  world = await portalWorld(SCOPE, CLIENT_LABELS);
  ({ engine, deps, context } = world);
  await world.clear();
}, 600_000);

afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

async function fetchConfig(node: string): Promise<{ text: string; login: PortalLogin }> {
  const account = await accountOf(world);
  const login = await logIn(account);
  const answer = await api(account.url, login, 'connect', { profile_id: 'default', v6_node: node });
  if (answer.status !== 200) throw new Error(`connect: ${answer.status} ${await answer.text()}`);
  return { text: await answer.text(), login };
}

/** An openvpn of the v6-vpn image with one client config, as a VPN client would run it. */
async function startClient(name: string, config: string, extra: readonly string[] = []) {
  const file = path.join(world.folder, `${name}.ovpn`);
  await writeFile(file, `${config}\n`, { mode: 0o600 });
  const id = await engine.containers.create({
    name: `v6-test-portal-${name}`,
    image: deps.images.vpn,
    labels: CLIENT_LABELS,
    entrypoint: ['/usr/bin/tini', '--', 'openvpn'],
    command: [
      ...'--config /client.ovpn --management 127.0.0.1 7505 --management-log-cache 300'.split(' '),
      ...'--hand-window 5 --connect-retry 1 2'.split(' '),
      ...extra,
    ],
    networks: [{ name: names.uplink(SCOPE, 'portal') }],
    mounts: [{ source: file, target: '/client.ovpn', readOnly: true }],
    tmpfs: ['/tmp'],
    devices: ['/dev/net/tun'],
    capabilities: ['NET_ADMIN'],
    restart: 'no',
  });
  await engine.containers.start(id);
  const log = (): Promise<string> => engine.containers.logs(id);
  const run = (...command: string[]) => engine.containers.exec(id, command);
  return {
    id,
    log,
    run,
    remove: () => engine.containers.remove(id),
    address: async (): Promise<string> => {
      await until(`${name} connects`, 40_000, log, (text) =>
        text.includes('Initialization Sequence Completed'),
      );
      const { output } = await run('ip', '-4', '-o', 'addr', 'show', 'dev', 'tun0');
      return /inet (\S+)\//.exec(output)?.[1] ?? output;
    },
    hasEnded: async (): Promise<boolean> => (await engine.containers.find(id))?.state === 'exited',
    /** Does a TCP server there send us its greeting? */
    reaches: async (address: string, port: number): Promise<boolean> => {
      const { output } = await run(
        'socat',
        '-T2',
        '-u',
        `TCP:${address}:${port},connect-timeout=2`,
        '-',
      );
      return output.includes('greeting');
    },
  };
}

type Client = Awaited<ReturnType<typeof startClient>>;

/** A TCP server in a container that greets whoever comes. */
async function listenIn(container: string, port: number): Promise<void> {
  await engine.containers.exec(container, [
    'dash',
    '-c',
    `socat TCP-LISTEN:${port},fork,reuseaddr SYSTEM:"echo greeting" >/dev/null 2>&1 &`,
  ]);
}

async function serverRules(): Promise<string> {
  const { output } = await engine.containers.exec(names.vpnServer(SCOPE), [
    'nft',
    'list',
    'table',
    'inet',
    'v6server',
  ]);
  return output;
}

/** Packets that the last counter of a chain has seen: what the chain dropped. */
function dropped(rules: string, chain: 'input' | 'forward'): number {
  const [, rest = ''] = rules.split(`chain ${chain} {`);
  const body = rest.split('chain ')[0] ?? '';
  const rule =
    chain === 'input' ? /iifname "tun\*" counter packets (\d+)/ : /\n\s+counter packets (\d+)/;
  return Number(rule.exec(body)?.[1] ?? Number.NaN);
}

describe('the embedded portal', () => {
  it('starts two containers and says what the server needs to know, with secrets in files', async () => {
    const result = await startPortal(deps, { context, subnet: SUBNET });
    expect(result.state).toBe('started');
    const labels = labelsFor({ kind: 'portal', scope: SCOPE });
    expect(await engine.containers.list(labels)).toHaveLength(1);
    const { mode } = await stat(result.vpn_server.portal_userpass_file);
    expect(mode & 0o777).toBe(0o600);
    const password = await readFile(result.vpn_server.portal_userpass_file, 'utf8');
    expect(JSON.stringify(result)).not.toContain(password.trim());
  });

  it('changes nothing when it is started again', async () => {
    const before = await portalStatus(deps, context);
    expect(before.state).toBe('running');
    expect((await startPortal(deps, { context })).state).toBe('unchanged');
    expect((await portalStatus(deps, context)).containers).toEqual(before.containers);
  });

  it('refuses a subnet that overlaps another network and leaves the running portal alone', async () => {
    const { portalAddress } = await startPortal(deps, { context });
    const taken = portalAddress.replace(/\d+$/, '0/24');
    const before = await hostState([]);
    await expect(startPortal(deps, { context, subnet: taken })).rejects.toMatchObject({
      code: 'V6_NET_OVERLAP',
    });
    expect((await hostState([])).containers).toEqual(before.containers);
    expect((await portalStatus(deps, context)).state).toBe('running');
  });
});

describe('nodes on the embedded VPN server', () => {
  let alpha: Client;
  let beta: Client;

  it('gives each node its address, lowest first, and lets them reach each other', async () => {
    alpha = await startClient('alpha', (await fetchConfig('alpha')).text);
    beta = await startClient('beta', (await fetchConfig('beta')).text);
    expect(await alpha.address()).toBe('10.204.0.10');
    expect(await beta.address()).toBe('10.204.0.11');
    await listenIn(beta.id, 8888);
    await until('alpha reaches beta', 20_000, () => alpha.reaches('10.204.0.11', 8888));
    const { report } = await portalStatus(deps, context);
    expect(report?.tunnels?.map(({ node, address }) => [node, address])).toEqual([
      ['alpha', '10.204.0.10'],
      ['beta', '10.204.0.11'],
    ]);
  });

  it('lets nobody reach the server itself, its host, or what is behind it', async () => {
    const { network, portalAddress } = await startPortal(deps, { context });
    const gateway = (await engine.networks.find(network))?.gateway ?? '';
    await listenIn(names.vpnServer(SCOPE), 9999);
    await listenIn(beta.id, 7777);
    const outside = (await engine.networks.find(network))?.containers['v6-test-portal-beta'];
    const neighbour = outside?.split('/')[0] ?? '';
    // Without the tunnel the neighbour answers: what follows is the rules' work, not a closed port.
    await until('the neighbour answers', 20_000, () => alpha.reaches(neighbour, 7777));
    const before = await serverRules();
    expect(await alpha.reaches('10.204.0.1', 9999)).toBe(false);
    for (const address of [neighbour, portalAddress, gateway]) {
      await alpha.run('ip', 'route', 'add', `${address}/32`, 'dev', 'tun0');
    }
    expect(await alpha.reaches(neighbour, 7777)).toBe(false);
    expect(await alpha.reaches(portalAddress, 8080)).toBe(false);
    expect(await alpha.reaches(gateway, 22)).toBe(false);
    const after = await serverRules();
    expect(dropped(after, 'input')).toBeGreaterThan(dropped(before, 'input'));
    expect(dropped(after, 'forward')).toBeGreaterThanOrEqual(dropped(before, 'forward') + 3);
    // The server itself opens nothing towards a client either.
    const { output } = await engine.containers.exec(names.vpnServer(SCOPE), [
      'socat',
      '-T2',
      '-u',
      'TCP:10.204.0.11:8888,connect-timeout=2',
      '-',
    ]);
    expect(output).not.toContain('greeting');
  });

  it('keeps the address over a reconnect and over a new certificate', async () => {
    await alpha.remove();
    const { text } = await fetchConfig('alpha');
    alpha = await startClient('alpha', text);
    expect(await alpha.address()).toBe('10.204.0.10');
    await alpha.run('dash', '-c', 'echo "signal SIGUSR1" | socat - TCP:127.0.0.1:7505');
    await until('alpha reconnects', 30_000, async () => {
      const log = await alpha.log();
      return log.split('Initialization Sequence Completed').length > 2;
    });
    expect(await alpha.address()).toBe('10.204.0.10');
  });

  it('refuses the certificate that a newer one replaced', async () => {
    const old = await fetchConfig('alpha');
    const { text } = await fetchConfig('alpha');
    const loser = await startClient('loser', old.text);
    await until('the old file is refused', 40_000, loser.hasEnded);
    expect(await loser.log()).toContain('AUTH_FAILED');
    await loser.remove();
    await alpha.remove();
    alpha = await startClient('alpha', text);
    expect(await alpha.address()).toBe('10.204.0.10');
  });

  it('cuts a live session when its certificate is revoked, and refuses it at once', async () => {
    const { adminSocket } = portalPaths(context);
    const result = await portalAdmin.revoke(adminSocket, { node: 'beta', release: false });
    expect(result).toEqual({
      node: 'beta',
      address: '10.204.0.11',
      certificates: 1,
      sessionsCut: 1,
      released: false,
    });
    const started = performance.now();
    await until('beta is refused', 15_000, beta.hasEnded);
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(await beta.log()).toContain('AUTH_FAILED');
    await beta.remove();
    // A definite answer on the management interface, and the address is still beta's.
    beta = await startClient('beta', (await fetchConfig('beta')).text);
    expect(await beta.address()).toBe('10.204.0.11');
  });

  it('refuses a certificate that has expired', async () => {
    const paths = portalPaths(context);
    const authority = {
      certificate: await readFile(paths.authorityCertificate, 'utf8'),
      privateKey: await readFile(paths.authorityKey, 'utf8'),
    };
    const issued = await createCertificateMaker().makeClient(authority, {
      commonName: 'expired-test',
      organizationalUnit: 'default',
      notBefore: new Date(Date.now() - 120_000),
      notAfter: new Date(Date.now() - 60_000),
    });
    await writeFile(
      path.join(paths.clientConfigs, 'expired-test'),
      'ifconfig-push 10.204.0.99 255.255.255.0\n',
      { mode: 0o600 },
    );
    const { text } = await fetchConfig('gamma');
    const expired = text
      .replace(/<cert>[\s\S]*<\/cert>/, `<cert>\n${issued.certificate}\n</cert>`)
      .replace(/<key>[\s\S]*<\/key>/, `<key>\n${issued.privateKey}\n</key>`);
    const client = await startClient('expired', expired);
    await until('the handshake fails', 20_000, client.log, (log) =>
      log.includes('TLS handshake failed'),
    );
    expect(await client.log()).not.toContain('Initialization Sequence Completed');
    await client.remove();
    await rm(path.join(paths.clientConfigs, 'expired-test'));
  });

  it('ends a session whose authorization is disconnected', async () => {
    const { text, login } = await fetchConfig('delta');
    const delta = await startClient('delta', text);
    await delta.address();
    const account = await accountOf(world);
    expect((await api(account.url, login, 'disconnect')).status).toBe(204);
    expect((await api(account.url, login, 'disconnect')).status).toBe(204);
    await until('delta is refused', 40_000, delta.hasEnded);
    await delta.remove();
  });

  it('mends a VPN server that is gone, and nodes come back by themselves', async () => {
    const before = await portalStatus(deps, context);
    await engine.containers.remove(names.vpnServer(SCOPE));
    expect((await portalStatus(deps, context)).state).toBe('degraded');
    expect((await startPortal(deps, { context })).state).toBe('mended');
    const after = await portalStatus(deps, context);
    expect(after.state).toBe('running');
    expect(after.containers[0]).toEqual(before.containers[0]);
    await until(
      'alpha and beta are back',
      30_000,
      () => portalStatus(deps, context),
      ({ report }) => report?.tunnels?.length === 2,
    );
    await alpha.remove();
    await beta.remove();
  });
});

describe('stopping the embedded portal', () => {
  it('leaves nothing behind but its data, and finds that again', async () => {
    const { authorityCertificate } = portalPaths(context);
    const before = await readFile(authorityCertificate, 'utf8');
    await stopPortal(deps, { context, removeData: false });
    const state = await hostState([context.runDir]);
    expect(JSON.stringify(state)).not.toContain(SCOPE);
    expect(await readdir(context.dataDir)).toContain('portal.sqlite');
    const started = await startPortal(deps, { context });
    expect(started.subnet).toBe(SUBNET);
    expect(await readFile(authorityCertificate, 'utf8')).toBe(before);
    expect((await portalStatus(deps, context)).report?.leases[0]).toMatchObject({
      node: 'alpha',
      address: '10.204.0.10',
    });
  });

  it('deletes the data when asked to; a second stop is fine', async () => {
    await stopPortal(deps, { context, removeData: true });
    await expect(stat(context.dataDir)).rejects.toMatchObject({ code: 'ENOENT' });
    expect((await stopPortal(deps, { context, removeData: true })).removed).toEqual([]);
    expect((await portalStatus(deps, context)).state).toBe('stopped');
  });

  it('leaves nothing after a start that could not be finished', async () => {
    const stop = new AbortController();
    const started = startPortal(deps, { context, subnet: SUBNET, signal: stop.signal });
    const failed = expect(started).rejects.toThrow('enough');
    await until('the portal container exists', 30_000, () =>
      engine.containers.find(names.portal(SCOPE)),
    );
    stop.abort(new Error('enough'));
    await failed;
    expect(JSON.stringify(await hostState([context.runDir]))).not.toContain(SCOPE);
    await expect(stat(context.dataDir)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
