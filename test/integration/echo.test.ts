import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connectEngine } from '../../src/adapters/docker/engine.ts';
import type { Engine } from '../../src/core/engine/engine.ts';
import { ECHO_IMAGE } from '../../src/core/labels.ts';
import type { Cidr, Ipv4 } from '../../src/core/net/ipv4.ts';
import { encodeEnv } from '../../src/core/protocol/algorithm-env.ts';
import { ECHO_LABEL, ECHO_PORT, parseEchoReport } from '../../src/core/protocol/echo.ts';
import { composeImages } from '../../src/images/compose.ts';
import { FakeCoordinationServer, type FakeRun } from '../fakes/coordination-server.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const labels = { 'v6.test': 'echo' };
const network = 'v6-test-echo';
const addressOf = (organization: number): string => `10.207.1.${10 + organization}`;
/** As a node gives them to an algorithm (design: no NET_RAW, no NET_ADMIN). */
const capabilities = ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'SETUID', 'SETGID', 'KILL'];

let engine: Engine;
let server: FakeCoordinationServer;
let folder: TempFolder;

async function removeAll(): Promise<void> {
  for (const { id } of await engine.containers.list(labels)) await engine.containers.remove(id);
}

beforeAll(async () => {
  const root = path.join(import.meta.dirname, '../..');
  engine = await connectEngine();
  await (await composeImages(root)).build({ only: ['echo'] });
  await removeAll();
  await engine.networks.remove(network);
  await engine.networks.ensure({
    name: network,
    subnet: '10.207.1.0/24' as Cidr,
    gateway: '10.207.1.1' as Ipv4,
    bridge: 'v6t-echo',
    form: 'uplink',
    labels,
  });
});
afterAll(async () => {
  await removeAll();
  await engine.networks.remove(network);
});

beforeEach(async () => {
  folder = await tempFolder();
  server = new FakeCoordinationServer();
  await server.start('10.207.1.1');
  for (const organization of [1, 2, 3])
    server.addNode({ organization, ip: addressOf(organization) });
});
afterEach(async () => {
  await removeAll();
  await server.stop();
  await folder.remove();
});

interface Ended {
  readonly status: number;
  readonly log: string;
  readonly result: unknown;
}

/** Runs the image as a node runs an algorithm: files, encoded environment, few capabilities, no DNS. */
async function runImage(run: FakeRun, input: unknown): Promise<Ended> {
  const at = path.join(folder.path, String(run.id));
  await mkdir(at);
  await writeFile(path.join(at, 'input'), JSON.stringify(input));
  await writeFile(path.join(at, 'token'), server.containerToken(run), { mode: 0o600 });
  const url = new URL(server.url);
  const env = {
    INPUT_FILE: '/mnt/data/input',
    OUTPUT_FILE: '/mnt/data/output',
    TOKEN_FILE: '/mnt/data/token',
    HOST: 'http://proxyserver',
    PORT: url.port,
    API_PATH: '/api',
  };
  const id = await engine.containers.create({
    name: `v6-test-echo-${run.id}`,
    image: ECHO_IMAGE,
    labels,
    env: Object.fromEntries(Object.entries(env).map(([key, value]) => [key, encodeEnv(value)])),
    networks: [{ name: network, address: addressOf(run.organization) as Ipv4 }],
    hosts: { proxyserver: '10.207.1.1' },
    dns: ['127.0.0.1'],
    mounts: [{ source: at, target: '/mnt/data' }],
    capabilities,
  });
  run.status = 'active';
  await engine.containers.start(id);
  const status = await engine.containers.wait(id, AbortSignal.timeout(60_000));
  const log = await engine.containers.logs(id);
  const result = await readFile(path.join(at, 'output'), 'utf8').then(
    (text) => JSON.parse(text) as unknown,
    () => undefined,
  );
  return { status, log, result };
}

const ports = [
  { port: ECHO_PORT.tcp, protocol: 'tcp' as const, label: ECHO_LABEL.tcp },
  { port: ECHO_PORT.udp, protocol: 'udp' as const, label: ECHO_LABEL.udp },
];

describe('the v6-echo image', () => {
  it('lets three containers reach each other and themselves over tcp and udp', async () => {
    const organizations = [1, 2, 3];
    server.addTask({ image: ECHO_IMAGE, collaboration: 1, parent: null }, organizations);
    for (const run of server.runs) run.ports = ports;
    const input = { method: 'echo', kwargs: { organizations, probes: 10 } };
    const startedAt = performance.now();
    const ended = await Promise.all(server.runs.map((run) => runImage(run, input)));
    expect(ended.map(({ status, log }) => ({ status, log }))).toEqual(
      organizations.map(() => ({ status: 0, log: '' })),
    );
    const reports = ended.map(({ result }) => parseEchoReport(result));
    expect(reports.map((report) => report?.pairs.filter(({ ok }) => ok).length)).toEqual([6, 6, 6]);
    expect(performance.now() - startedAt).toBeLessThan(20_000);
  });

  it('reaches its own registered address as its first act', async () => {
    server.addTask({ image: ECHO_IMAGE, collaboration: 1, parent: null }, [1]);
    const [run] = server.runs as [FakeRun];
    run.ports = ports;
    const ended = await runImage(run, { method: 'self' });
    expect(ended).toEqual({
      status: 0,
      log: '',
      result: { ok: true, address: `${addressOf(1)}:${ECHO_PORT.tcp}`, error: null },
    });
  });

  it('says that it is not registered instead of trying again', async () => {
    server.addTask({ image: ECHO_IMAGE, collaboration: 1, parent: null }, [1]);
    const ended = await runImage(server.runs[0] as FakeRun, { method: 'self' });
    expect(ended.result).toMatchObject({ ok: false, error: { code: 'V6_TEST_NO_ADDRESS' } });
    expect(server.requests).toHaveLength(1);
  });

  it('reports a peer that died instead of waiting for it to the end', async () => {
    server.addTask({ image: ECHO_IMAGE, collaboration: 1, parent: null }, [1, 2]);
    const [run] = server.runs as [FakeRun];
    for (const one of server.runs) one.ports = ports;
    const startedAt = performance.now();
    const ended = await runImage(run, { method: 'echo', kwargs: { organizations: [1, 2] } });
    const report = parseEchoReport(ended.result);
    expect(report?.pairs.map(({ to, ok }) => `${to} ${ok}`)).toEqual([
      '1 true',
      '1 true',
      '2 false',
      '2 false',
    ]);
    // Five seconds of failing probes, not the limit of thirty.
    expect(performance.now() - startedAt).toBeLessThan(25_000);
  });

  it('ends with status 1 and the reason in its log', async () => {
    server.addTask({ image: ECHO_IMAGE, collaboration: 1, parent: null }, [1]);
    const ended = await runImage(server.runs[0] as FakeRun, { method: 'unknown' });
    expect(ended.status).toBe(1);
    expect(ended.log).toContain('there is no method "unknown"');
    expect(ended.result).toBeUndefined();
  });
});
