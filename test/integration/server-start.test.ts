import { chmod, chown, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseServerConfig } from '../../src/core/config/server-config.ts';
import { type Context, contextFor } from '../../src/core/context.ts';
import { isV6Error } from '../../src/core/errors.ts';
import { names } from '../../src/core/labels.ts';
import type { ImportReport } from '../../src/server/admin/import-report.ts';
import { composeServerHost, type ServerHost } from '../../src/server/compose-host.ts';
import { serverLogs } from '../../src/server/host/server-logs.ts';
import type { ServerStatus } from '../../src/server/host/server-status.ts';
import { type StartedServer, startServerOnHost } from '../../src/server/host/start-server.ts';
import { stopServer } from '../../src/server/host/stop-server.ts';
import { ServerCli } from '../support/server-cli.ts';
import { caller, freePort, listen } from '../support/server-process.ts';
import { until } from '../support/wait.ts';

const ROOT = path.join(import.meta.dirname, '../..');
const LIMIT_MS = 15_000;

let home: string;
let cli: ServerCli;
let port: number;
let host: ServerHost;
let context: Context;

beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'v6-it-start-'));
  cli = new ServerCli(home, `it-${path.basename(home)}`, { hasEngine: true });
  port = await freePort();
  await configure('');
  host = await composeServerHost(ROOT);
  context = contextFor('server', cli.name, 'user', { home, isRoot: true });
});

afterEach(async () => {
  try {
    await stopServer(host, context).catch((error: unknown) => {
      if (!isV6Error(error, 'V6_SERVER_NOT_RUNNING')) throw error;
    });
  } finally {
    await rm(home, { recursive: true, force: true });
  }
});

async function configure(lines: string): Promise<void> {
  await mkdir(path.dirname(cli.configFile), { recursive: true });
  const text = `uri: sqlite:///t.sqlite\nip: 127.0.0.1\nport: ${port}\n${lines}`;
  await writeFile(cli.configFile, text, { mode: 0o600 });
}

/** As the command does it, from this version's image. */
async function start(
  network = 'bridge',
  user = { uid: 0, gid: 0, folders: { HOME: home } },
): Promise<StartedServer> {
  const text = await readFile(cli.configFile, 'utf8');
  return startServerOnHost(host, {
    context,
    config: parseServerConfig(text, cli.configFile),
    address: { ip: '127.0.0.1', port },
    container: {
      image: host.image(),
      user,
      network,
    },
    waitMs: 60_000,
  });
}

const containers = async (): Promise<readonly string[]> =>
  ((await host.engine?.containers.list({ name: cli.name })) ?? []).map(({ name }) => name);

async function logText(tail?: number): Promise<string> {
  let text = '';
  const { signal } = new AbortController();
  for await (const piece of serverLogs(host, { context, tail, follow: false, signal }))
    text += piece;
  return text;
}

describe('v6 server start, as a container', () => {
  it('runs from the real image, healthy, on the configured address only, until it is stopped', async () => {
    const started = await start();
    expect(started).toMatchObject({
      state: 'started',
      how: 'container',
      container: names.server(cli.name, 'user'),
      url: `http://127.0.0.1:${port}/api`,
    });
    const spec = await host.engine?.containers.find(started.container ?? '');
    expect(spec?.labels).toMatchObject({ 'v6.kind': 'server', 'vantage6-type': 'server' });

    const status = await cli.json<ServerStatus>('status');
    expect(status).toMatchObject({ running: true, how: 'container', healthy: true });
    expect(status.nodes).toEqual({ online: 0, total: 0 });
    expect(await cli.json('version')).toMatchObject({ url: started.url });
    const { lines } = await cli.json<{ lines: string[] }>('logs', ['--tail', '1']);
    expect(lines.join()).toContain('Server is ready');

    expect(await start()).toMatchObject({ state: 'unchanged' });
    expect(await containers()).toHaveLength(1);

    expect(await cli.json('stop')).toMatchObject({
      servers: [{ how: 'container', isClean: true }],
    });
    expect(await containers()).toEqual([]);
    expect((await cli.run('status')).status).toBe(69);
  });

  it('keeps its data from one start to the next', async () => {
    await start();
    const secret = await readFile(path.join(context.dataDir, 'server-secret'), 'utf8');
    await stopServer(host, context);
    await start('host');
    expect(await readFile(path.join(context.dataDir, 'server-secret'), 'utf8')).toBe(secret);
  });

  it('tells the error of a server that ends at once, and leaves nothing', async () => {
    await configure('tls: { certificate: /etc/hostname, key: /etc/hostname }\n');
    await expect(start()).rejects.toMatchObject({
      code: expect.stringMatching(/^V6_CONFIG_/) as string,
    });
    expect(await containers()).toEqual([]);
  });

  it('runs as a user that is not root, with files of that user', async () => {
    const user = { uid: 54_321, gid: 54_321, folders: { HOME: home } };
    await mkdir(context.dataDir, { recursive: true });
    for (const owned of [cli.configFile, context.dataDir]) await chown(owned, user.uid, user.gid);
    await chmod(home, 0o711);
    await start('bridge', user);
    const secret = await stat(path.join(context.dataDir, 'server-secret'));
    expect([secret.uid, secret.mode & 0o777]).toEqual([user.uid, 0o600]);
  });

  it('names a file of the configuration that is not there', async () => {
    await configure('tls: { certificate: /no/cert.pem, key: /no/key.pem }\n');
    await expect(start()).rejects.toMatchObject({
      code: 'V6_CONFIG_INVALID',
      message: expect.stringContaining('/no/cert.pem') as string,
    });
  });

  it('says so when its port is taken', async () => {
    await start();
    const other = contextFor('server', `${cli.name}-2`, 'user', { home, isRoot: true });
    const text = await readFile(cli.configFile, 'utf8');
    await writeFile(other.configFile, text);
    const failed = startServerOnHost(host, {
      context: other,
      config: parseServerConfig(text, 'f'),
      address: { ip: '127.0.0.1', port },
      container: { image: host.image(), user: { uid: 0, gid: 0, folders: {} }, network: 'bridge' },
      waitMs: 10_000,
    });
    await expect(failed).rejects.toMatchObject({ code: 'V6_NET_PORT_IN_USE' });
    expect(await host.engine?.containers.find(names.server(other.name, 'user'))).toBe(undefined);
  });
});

describe('administration beside a running server', () => {
  it('is noticed: new accounts log in at once, sockets of ended ones go, nodes look for their runs', async () => {
    await start();
    const file = path.join(home, 'entities.yaml');
    const secrets = path.join(home, 'secrets.yaml');
    await writeFile(
      file,
      'organizations: [{ name: North }]\ncollaborations: [{ name: T, encrypted: false, participants: [{ name: North }] }]\n',
    );
    const report = await cli.json<ImportReport>('import', [file, '--secrets-file', secrets]);
    expect(report.created).toBe(3);
    const apiKey = /api_key: "([^"]+)"/.exec(await readFile(secrets, 'utf8'))?.[1];
    const url = `http://127.0.0.1:${port}/api`;
    const { status, body } = await caller(url)('POST', '/token/node', { api_key: apiKey });
    expect(status).toBe(200);

    const heard = listen(port, String(body.access_token), 'websocket');
    try {
      await until('the socket', LIMIT_MS, () => heard.names.includes('sync'));
      const { nodes } = await cli.json<ServerStatus>('status');
      expect(nodes).toEqual({ online: 1, total: 1 });

      // An example task: the node is told to look.
      const before = heard.names.filter((name) => name === 'sync').length;
      await cli.json('user create', [
        'ann',
        '-o',
        'North',
        '--role',
        'Viewer',
        '--generate-password',
      ]);
      await writeFile(
        file,
        'collaborations: [{ name: T, participants: [{ name: North }], tasks: ["hello-world"] }]\n',
      );
      await cli.json('import', [file]);
      await until(
        'another sync',
        LIMIT_MS,
        () => heard.names.filter((name) => name === 'sync').length > before,
      );

      await cli.json('node reset-key', ['North - T Node', '--key-file', path.join(home, 'key')]);
      await until('the end of the socket', LIMIT_MS, () => heard.names.includes('disconnect'));
      const again = await caller(url)('POST', '/token/node', { api_key: apiKey });
      expect(again.status).toBe(401);
    } finally {
      heard.socket.close();
    }
    expect(await logText()).not.toContain(apiKey);
  });
});
