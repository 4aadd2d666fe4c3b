import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine } from '../../src/core/engine/engine.ts';
import { composeImages } from '../../src/images/compose.ts';
import { dockerSandbox } from '../support/docker.ts';
import { type PythonServer, startPythonServer } from '../support/python-server.ts';
import { runCli } from '../support/run-cli.ts';
import { type Caller, caller } from '../support/server-process.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { buildTestAlgorithm, TestNodeDaemon } from '../support/test-node.ts';
import { VPN_SUBNET, VpnLab, writeAddresses } from '../support/vpn-lab.ts';
import { until } from '../support/wait.ts';

// Our nodes and our command line at the real Python server 4.15.2: a network can move one part at a time.

const SCOPE = 'demo-pyserver';
const IMAGE = 'v6-test-python-server:1';
const PASSWORD = 'Right-pass-1';
const LIMIT_MS = 60_000;

interface Member {
  readonly organization: number;
  readonly id: number;
  readonly apiKey: string;
}

let engine: Engine;
let vpnImage: string;
let folder: TempFolder;
let server: PythonServer;
let root: Caller;
let user: Caller;
let lab: VpnLab;
let collaboration: number;
const members: Member[] = [];
const daemons: TestNodeDaemon[] = [];

const num = (value: unknown): number => Number(value);

async function login(username: string, password: string): Promise<Caller> {
  const { body } = await caller(server.url)('POST', '/token/user', { username, password });
  return caller(server.url, String(body.access_token));
}

async function create(to: string, body: object): Promise<Readonly<Record<string, unknown>>> {
  const answer = await root('POST', to, body);
  if (answer.status > 201)
    throw new Error(`${to}: ${JSON.stringify(answer.body)}\n${server.output()}`);
  return answer.body;
}

async function populate(): Promise<void> {
  const empty = {
    address1: '',
    address2: '',
    zipcode: '',
    country: '',
    domain: '',
    public_key: '',
  };
  const ids: number[] = [];
  for (const name of ['alpha', 'beta'])
    ids.push(num((await create('/organization', { name, ...empty })).id));
  const wanted = { name: 'trial', organization_ids: ids, encrypted: false };
  collaboration = num((await create('/collaboration', wanted)).id);
  for (const [index, organization_id] of ids.entries()) {
    const name = index === 0 ? 'alpha' : 'beta';
    const node = await create('/node', { collaboration_id: collaboration, organization_id, name });
    members.push({ organization: organization_id, id: num(node.id), apiKey: String(node.api_key) });
  }
  const person = { firstname: 'A', lastname: 'B', email: 'a@example.org', rules: [], roles: [1] };
  const user_ = { ...person, username: 'alice', password: PASSWORD, organization_id: ids[0] };
  await create('/user', user_);
  user = await login('alice', PASSWORD);
}

async function startNode({ apiKey }: Member, number: number): Promise<TestNodeDaemon> {
  const daemon = new TestNodeDaemon({
    name: number === 1 ? 'alpha' : 'beta',
    scope: SCOPE,
    root: folder.path,
    engine,
    vpnImage,
    apiKey,
    port: server.port,
    config: [
      `isolated_range: 10.206.${10 + number}.0/24`,
      `uplink_network: ${lab.uplink}`,
      `vpn_subnet: ${VPN_SUBNET}`,
    ],
  });
  daemons.push(daemon);
  const file = path.join(daemon.context.dataDir, 'vpn', 'vpn-config.ovpn.conf');
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, await lab.clientConfig(`node-${number}`), { mode: 0o600 });
  const started = await daemon.start();
  expect(await started.verdict(30_000)).toMatchObject({ state: 'connected', portalCalls: 0 });
  return daemon;
}

beforeAll(async () => {
  ({ engine, image: vpnImage } = await dockerSandbox('pyserver'));
  folder = await tempFolder();
  await (await composeImages(path.join(import.meta.dirname, '../..'))).build({ only: ['echo'] });
  await buildTestAlgorithm(engine, path.join(folder.path, 'image'), vpnImage, IMAGE);
  server = await startPythonServer(folder.path);
  root = await login('root', 'root');
  await populate();
  lab = await VpnLab.open('pyserver');
  await writeAddresses(lab, 2);
  await lab.startServer();
  for (const [index, member] of members.entries()) await startNode(member, index + 1);
});
afterAll(async () => {
  for (const daemon of daemons) await daemon.clean();
  await lab?.remove();
  await server?.stop();
  await engine?.images.remove(IMAGE);
  await folder?.remove();
});

const statusOf = async (id: number) => (await user('GET', `/node/${id}`)).body.status;

async function task(method: string): Promise<number> {
  const input = Buffer.from(JSON.stringify({ method })).toString('base64');
  const { body } = await user('POST', '/task', {
    name: method,
    image: IMAGE,
    collaboration_id: collaboration,
    organizations: members.map(({ organization: id }) => ({ id, input })),
    databases: [],
  });
  return num(body.id);
}

const runsOf = async (id: number) =>
  (await user('GET', `/run?task_id=${id}`)).body.data as readonly Readonly<
    Record<string, unknown>
  >[];
const ended = (id: number) =>
  until(
    `task ${id} ends`,
    LIMIT_MS,
    () => runsOf(id),
    (runs) => runs.length === 2 && runs.every(({ finished_at }) => finished_at !== null),
  );

describe('our nodes at a Python server', () => {
  it('are online, with their address in the VPN', async () => {
    for (const [index, { id }] of members.entries()) {
      expect(await statusOf(id)).toBe('online');
      expect((await user('GET', `/node/${id}`)).body.ip).toBe(lab.vpnAddress(index + 1));
    }
  });

  it('take runs and finish them, and the results are there for the user', async () => {
    const echo = await task('echo');
    const runs = await ended(echo);
    expect(runs.map(({ status }) => status)).toEqual(['completed', 'completed']);
    const { body } = await user('GET', `/result?task_id=${echo}`);
    for (const { result } of body.data as { result: string }[])
      expect(Buffer.from(result, 'base64').toString()).toBe('{"got":{"method":"echo"}}');
    const failed = await ended(await task('fail'));
    expect(failed.map(({ status }) => status)).toEqual(['crashed', 'crashed']);
    const own = await ended(await task('self'));
    expect(own.map(({ status }) => status)).toEqual(['completed', 'completed']);
  });

  it('end runs that are killed', async () => {
    const wait = await task('wait');
    const isActive = async () => (await runsOf(wait)).every(({ status }) => status === 'active');
    await until('both run', LIMIT_MS, isActive);
    expect((await user('POST', '/kill/task', { id: wait })).status).toBe(200);
    const busy = () => daemons.flatMap(({ daemon }) => daemon?.status().runs ?? []);
    await until('nothing runs any more', LIMIT_MS, busy, (runs) => runs.length === 0);
    const killed = await runsOf(wait);
    expect(killed.map(({ status }) => status)).toEqual(['killed by user', 'killed by user']);
  });

  it('pass all TCP pairs of `v6 vpn test`; UDP ports have no place at that server, and are said to have none', async () => {
    const env = { HOME: folder.path };
    const at = `http://127.0.0.1:${server.port}`;
    const words = ['login', '--server', at, '--username', 'alice', '--password-stdin'];
    expect(await runCli(words, { env, input: PASSWORD })).toMatchObject({ status: 0 });
    const { status, stdout } = await runCli(['vpn', 'test', '--all-nodes', '--json'], { env });
    const { pairs } = JSON.parse(stdout) as { pairs: { protocol: string; ok: boolean }[] };
    const of = (protocol: string) => pairs.filter((pair) => pair.protocol === protocol);
    expect(of('tcp').map(({ ok }) => ok)).toEqual([true, true, true, true]);
    const noAddress = { ok: false, error: { code: 'V6_TEST_NO_ADDRESS' } };
    expect(of('udp')).toMatchObject([noAddress, noAddress, noAddress, noAddress]);
    expect(status).toBe(3);
  });

  it('go offline when they stop, and leave nothing', async () => {
    const [alpha] = daemons;
    await alpha?.daemon?.stop();
    const [member] = members;
    await until(
      'it is offline',
      LIMIT_MS,
      () => statusOf(member?.id ?? 0),
      (is) => is === 'offline',
    );
    expect(await alpha?.held()).toEqual([]);
  });
});
