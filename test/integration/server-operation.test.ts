import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startPostgres } from '../support/postgres.ts';
import {
  caller,
  freePort,
  type Heard,
  listen,
  rootPassword,
  type ServerProcess,
  serverData,
  startServerProcess,
} from '../support/server-process.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { until } from '../support/wait.ts';

const LIMIT_MS = 15_000;

let folder: TempFolder;
let server: ServerProcess | undefined;
const sockets: Heard[] = [];

beforeEach(async () => {
  folder = await tempFolder();
});

afterEach(async () => {
  for (const { socket } of sockets.splice(0)) socket.close();
  await server?.kill();
  await folder.remove();
});

async function start(options: { config?: string; uri?: string } = {}): Promise<ServerProcess> {
  server = await startServerProcess(folder.path, { port: await freePort(), ...options });
  return server;
}

async function health({ url }: ServerProcess) {
  const answer = await fetch(`${url}/health`, { signal: AbortSignal.timeout(LIMIT_MS) });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}

async function rootToken({ url }: ServerProcess): Promise<string> {
  const password = await rootPassword(folder.path);
  const { body } = await caller(url)('POST', '/token/user', { username: 'root', password });
  return String(body.access_token);
}

/** A node's token, and a request whose second half is sent when the caller says so. */
async function slowRequest({ port }: ServerProcess, token: string) {
  const body = JSON.stringify({ name: 'in flight', country: 'NL' });
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  socket.write(
    `POST /api/organization HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body.slice(0, 10)}`,
  );
  return {
    finish: async (): Promise<string> => {
      socket.write(body.slice(10));
      await until('the answer', LIMIT_MS, () => text.includes('\r\n\r\n'));
      socket.destroy();
      return text;
    },
  };
}

describe('a graceful stop', () => {
  it('takes nobody new, finishes what is under way, cuts sockets, and ends with 0', async () => {
    const running = await start();
    const token = await rootToken(running);
    for (const transport of ['polling', 'websocket'] as const) {
      const heard = listen(running.port, token, transport);
      sockets.push(heard);
      await until('a socket', LIMIT_MS, () => heard.socket.connected);
    }
    const slow = await slowRequest(running, token);
    // The head has been read when another request that came later is answered.
    await health(running);
    const ended = running.stop();
    for (const heard of sockets)
      await until('the cut', LIMIT_MS, () => heard.names.includes('disconnect'));
    await until('a closed port', LIMIT_MS, () =>
      health(running).then(
        () => false,
        () => true,
      ),
    );
    expect(await slow.finish()).toMatch(/^HTTP\/1\.1 201 /);
    expect(await ended).toBe(0);
    // No orderly end: after one a Python node would never come back.
    for (const heard of sockets)
      expect(heard.events.find(({ name }) => name === 'disconnect')?.payload).toMatch(
        /^transport (close|error)$/,
      );
    expect(running.output()).toContain('Server has stopped');
    const db = new DatabaseSync(path.join(serverData(folder.path), 'test.sqlite'));
    const row = db.prepare("select count(*) as n from organization where name = 'in flight'").get();
    db.close();
    expect(row).toMatchObject({ n: 1 });
  });

  it('does not wait for ever for a request that never ends', async () => {
    const running = await start();
    await slowRequest(running, await rootToken(running));
    // Its head has been read by then, and no stop can end it at once.
    await health(running);
    const began = performance.now();
    expect(await running.stop()).toBe(0);
    expect(performance.now() - began).toBeLessThan(8000);
  });

  it('ends at once at a second signal, of either kind', async () => {
    const running = await start();
    const heard = listen(running.port, await rootToken(running), 'websocket');
    sockets.push(heard);
    await until('a socket', LIMIT_MS, () => heard.socket.connected);
    await slowRequest(running, await rootToken(running));
    await health(running);
    void running.signal('SIGTERM');
    await until('the cut', LIMIT_MS, () => heard.names.includes('disconnect'));
    const began = performance.now();
    expect(await running.signal('SIGINT')).toBe(-1);
    expect(performance.now() - began).toBeLessThan(2000);
  });
});

describe('/health', () => {
  it('is 503 while another program holds the SQLite file, and 200 again afterwards', async () => {
    const running = await start();
    expect(await health(running)).toStrictEqual({ status: 200, body: { database: true } });
    const file = path.join(serverData(folder.path), 'test.sqlite');
    const holder = new DatabaseSync(file);
    holder.exec('BEGIN IMMEDIATE');
    const held = await health(running);
    holder.exec('ROLLBACK');
    holder.close();
    expect(held.status).toBe(503);
    expect(held.body).toMatchObject({ database: false, code: 'V6_DATABASE' });
    await until('health', LIMIT_MS, async () => (await health(running)).status === 200);
  });

  it('is 503 when the SQLite file was removed, although SQLite goes on with it', async () => {
    const running = await start();
    await rm(path.join(serverData(folder.path), 'test.sqlite'));
    const { status, body } = await health(running);
    expect(status).toBe(503);
    expect(body.msg).toContain('was removed or replaced');
  });

  it('is 503 while PostgreSQL is stopped, and 200 again when it is back; /metrics count it', async () => {
    const postgres = await startPostgres();
    try {
      const figures = await freePort();
      const running = await start({
        uri: await postgres.newDatabase(),
        config: `prometheus: {enabled: true, exporter_port: ${figures}}\n`,
      });
      const metrics = async (): Promise<string> =>
        (await fetch(`http://127.0.0.1:${figures}/metrics`)).text();
      expect(await health(running)).toStrictEqual({ status: 200, body: { database: true } });
      expect(await metrics()).toContain('v6_nodes_online 0');
      await postgres.stop('immediate');
      const away = await health(running);
      expect(away.status).toBe(503);
      expect(away.body).toMatchObject({ database: false, code: 'V6_DATABASE' });
      expect(away.body.msg).not.toContain(postgres.password);
      const text = await metrics();
      expect(text).toMatch(/v6_nodes_online Nan/i);
      expect(Number(/v6_database_errors_total (\d+)/.exec(text)?.[1])).toBeGreaterThan(0);
      await postgres.start();
      await until('health', LIMIT_MS, async () => (await health(running)).status === 200);
      expect(await running.stop()).toBe(0);
    } finally {
      await postgres.remove();
    }
  });
});

describe('/metrics', () => {
  it('is off by itself, and never on the port that faces the world', async () => {
    const running = await start();
    const answer = await fetch(`${running.url.replace(/\/api$/, '')}/metrics`);
    expect(answer.status).toBe(404);
    const below = await fetch(`${running.url}/metrics`);
    expect(below.status).toBe(404);
  });

  it('counts requests, logins that failed, sockets, and what nodes report', async () => {
    const figures = await freePort();
    const running = await start({
      config: `prometheus: {enabled: true, exporter_port: ${figures}, exporter_ip: 127.0.0.1}\n`,
    });
    const metrics = async (): Promise<string> =>
      (await fetch(`http://127.0.0.1:${figures}/metrics`)).text();
    const root = caller(running.url, await rootToken(running));
    const id = async (reply: ReturnType<typeof root>) => Number((await reply).body.id);
    const organization = await id(root('POST', '/organization', { name: 'North' }));
    const collaboration = await id(
      root('POST', '/collaboration', {
        name: 'Trial',
        organization_ids: [organization],
        encrypted: false,
      }),
    );
    const { body } = await root('POST', '/node', {
      collaboration_id: collaboration,
      organization_id: organization,
    });
    const login = await caller(running.url)('POST', '/token/node', { api_key: body.api_key });
    await caller(running.url)('POST', '/token/node', { api_key: crypto.randomUUID() });
    const node = listen(running.port, String(login.body.access_token), 'polling');
    sockets.push(node);
    await until('sync', LIMIT_MS, () => node.names.includes('sync'));
    // As the Python node sends it (vantage6 4.15, node/__init__.py:__gather_system_metadata).
    node.socket.emit('node_metrics_update', {
      cpu_percent: 12.5,
      memory_percent: 40.1,
      num_algorithm_containers: 2,
      os: 'posix',
      platform: 'linux',
      cpu_count: 8,
      memory_total: 16_000_000_000,
      memory_available: 9_000_000_000,
    });
    const wanted = [
      `cpu_percent{node_id="${String(body.id)}",os="posix",platform="linux"} 12.5`,
      'v6_sockets{kind="node",transport="polling"} 1',
      'v6_nodes_online 1',
      'v6_failed_logins_total{kind="node"} 1',
      'v6_http_request_duration_seconds_count{method="POST",route="/api/organization",status="201"} 1',
      'nodejs_eventloop_lag_seconds',
    ];
    await until('figures', LIMIT_MS, metrics, (text) =>
      wanted.every((line) => text.includes(line)),
    );
    node.socket.disconnect();
    await until(
      'no figures of a node that left',
      LIMIT_MS,
      metrics,
      (text) => !text.includes('cpu_percent{'),
    );
  });
});
