import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Context } from '../../src/core/context.ts';
import type { Engine } from '../../src/core/engine/engine.ts';
import { names } from '../../src/core/labels.ts';
import type { PortalDeps } from '../../src/portal/portal-deps.ts';
import { portalStatus } from '../../src/portal/portal-status.ts';
import { startPortal } from '../../src/portal/start-portal.ts';
import type { PortalTestModes } from '../../src/portal/test-modes.ts';
import { api, logIn, type PortalAccount } from '../support/portal-client.ts';
import { accountOf, type PortalWorld, portalWorld } from '../support/portal-world.ts';
import { until } from '../support/wait.ts';

const SCOPE = 'demo-pmodes';
const SUBNET = '10.204.64.0/24';
const LABELS = { 'v6.test': 'portal-modes' };

let world: PortalWorld;
let engine: Engine;
let deps: PortalDeps;
let context: Context;

beforeAll(async () => {
  world = await portalWorld(SCOPE, LABELS);
  ({ engine, deps, context } = world);
}, 600_000);

afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

async function start(testModes: PortalTestModes): Promise<PortalAccount> {
  await world.clear();
  await startPortal(deps, { context, subnet: SUBNET, testModes });
  expect((await portalStatus(deps, context)).state).toBe('running');
  return accountOf(world);
}

async function fileOf(account: PortalAccount, node: string): Promise<string> {
  const login = await logIn(account);
  const answer = await api(account.url, login, 'connect', { profile_id: 'default', v6_node: node });
  if (answer.status !== 200) throw new Error(`connect: ${answer.status}`);
  return answer.text();
}

/** A plain openvpn with the file, as any client would run it. */
async function openClient(name: string, config: string) {
  const file = path.join(world.folder, `${name}.ovpn`);
  await writeFile(file, `${config}\n`, { mode: 0o600 });
  const id = await engine.containers.create({
    name: `v6-test-modes-${name}`,
    image: deps.images.vpn,
    labels: LABELS,
    entrypoint: ['/usr/bin/tini', '--', 'openvpn'],
    command: '--config /client.ovpn --hand-window 5 --connect-retry 1 2'.split(' '),
    networks: [{ name: names.uplink(SCOPE, 'portal') }],
    mounts: [{ source: file, target: '/client.ovpn', readOnly: true }],
    tmpfs: ['/tmp'],
    devices: ['/dev/net/tun'],
    capabilities: ['NET_ADMIN', 'NET_RAW'],
    restart: 'no',
  });
  await engine.containers.start(id);
  const log = (): Promise<string> => engine.containers.logs(id);
  await until(`${name} connects`, 30_000, log, (text) =>
    text.includes('Initialization Sequence Completed'),
  );
  const { output } = await engine.containers.exec(id, ['ip', '-4', '-o', 'addr', 'show', 'tun0']);
  const address = /inet ([\d.]+)/.exec(output)?.[1] ?? output;
  return { id, log, address };
}

describe('the embedded portal in the ways of other portals', () => {
  it('has a slice for UDP and one for TCP, and passes traffic between them', async () => {
    const account = await start({ hasTwoSlices: true });
    const config = await fileOf(account, 'a');
    const overTcp = (await fileOf(account, 'b')).replace(/(^remote \S+ \d+) udp$/m, '$1 tcp');
    const udp = await openClient('udp', config);
    const tcp = await openClient('tcp', overTcp);
    expect(udp.address).toMatch(/^10\.204\.64\.([2-9]|\d\d|1[01]\d|12[0-6])$/);
    expect(tcp.address).toMatch(/^10\.204\.64\.(1[3-9]\d|2\d\d)$/);
    const { output } = await engine.containers.exec(udp.id, ['ping', '-c1', '-W5', tcp.address]);
    expect(output).toMatch(/1 packets received|1 received/);
  }, 240_000);

  it('ends the oldest configuration, and its tunnel, when one more than the limit comes', async () => {
    const account = await start({ maxActiveConfigurations: 3 });
    const oldest = await openClient('oldest', await fileOf(account, 'a'));
    for (const node of ['b', 'c', 'd']) await fileOf(account, node);
    await until('the oldest is refused', 40_000, oldest.log, (text) =>
      text.includes('AUTH_FAILED'),
    );
  }, 240_000);
});
