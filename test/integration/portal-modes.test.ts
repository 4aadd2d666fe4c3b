import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openManagement } from '../../src/adapters/openvpn/management.ts';
import { systemClock } from '../../src/core/clock.ts';
import type { Context } from '../../src/core/context.ts';
import type { Engine } from '../../src/core/engine/engine.ts';
import { names } from '../../src/core/labels.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { type Cidr, parseCidr } from '../../src/core/net/ipv4.ts';
import { literalRemotes, parseClientConfig } from '../../src/core/vpn/client-config.ts';
import { renderClientConfig } from '../../src/core/vpn/client-render.ts';
import { slotAt, slotNetwork } from '../../src/node/slots/slot-plan.ts';
import { createVpnClient } from '../../src/node/vpn-client/vpn-client.ts';
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
async function openClient(name: string, config: string, sysctls: Record<string, string> = {}) {
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
    sysctls,
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

  it('offers IPv6, of which a node takes nothing, and warns once', async () => {
    const account = await start({ pushesIpv6: true });
    // Another client is offered it: the mode works.
    const on = { 'net.ipv6.conf.all.disable_ipv6': '0', 'net.ipv6.conf.default.disable_ipv6': '0' };
    const other = await openClient('ipv6', await fileOf(account, 'a'), on);
    const { output } = await engine.containers.exec(other.id, ['ip', '-6', 'addr', 'show', 'tun0']);
    expect(output).toContain('fd76:7636::a/64');
    await using own = await openNodeClient(await fileOf(account, 'b'));
    const shell = async (id: string, line: string): Promise<string> =>
      (await engine.containers.exec(id, ['/bin/sh', '-c', line])).output;
    expect(await shell(own.container, 'ip -4 -o addr show tun0')).toContain('inet 10.204.64.');
    expect(await shell(own.container, 'cat /proc/net/if_inet6; ip -6 route')).toBe('');
    // From a slot: no address but perhaps the own loopback's, no route, no way to any.
    expect(await shell(own.algorithm, 'grep -v " lo$" /proc/net/if_inet6')).toBe('');
    expect(await shell(own.algorithm, 'ip -6 route show default')).toBe('');
    const ask = (to: string): Promise<string> =>
      shell(own.algorithm, `socat -T 2 - ${to},connect-timeout=2 < /dev/null 2>&1 && echo through`);
    for (const target of ['[fd76:7636::1]:80', '[2001:db8::1]:80'])
      expect(await ask(`TCP6:${target}`)).toMatch(/unreachable|Cannot assign/i);
    // The probe works where there is a way.
    await shell(own.algorithm, '(socat TCP-LISTEN:80,fork /dev/null & ) ; sleep 0.3');
    expect(await ask('TCP4:127.0.0.1:80')).toContain('through');
    expect(own.warnings.filter((line) => line.includes('IPv6'))).toHaveLength(1);
  }, 240_000);
});

const RANGE = '10.213.0.0/24' as Cidr;

/** A node's VPN client, made as production makes it, with one slot and a container in it. */
async function openNodeClient(config: string) {
  const node = { name: 'modes', scope: SCOPE } as const;
  const owner = { node: node.name, scope: node.scope };
  const slot = slotAt(owner, parseCidr(RANGE, 'range'), 0);
  const spec = slotNetwork(owner, slot);
  await engine.networks.ensure({ ...spec, labels: { ...spec.labels, ...LABELS } });
  const warnings: string[] = [];
  const subnet = SUBNET as Cidr;
  const client = createVpnClient({
    engine,
    image: deps.images.vpn,
    node,
    runDir: path.join(world.folder, 'n'),
    uplink: { network: names.uplink(SCOPE, 'portal') },
    vpnSubnet: subnet,
    isolatedRange: RANGE,
    openManagement,
    logger: { ...silentLogger, warn: (message) => warnings.push(message) },
    clock: systemClock,
  });
  const remove = async (): Promise<void> => {
    await client.remove();
    for (const { id } of await engine.containers.list(LABELS)) await engine.containers.remove(id);
    await engine.networks.remove(slot.network);
  };
  try {
    await client.start([slot]);
    const parsed = parseClientConfig(config);
    const text = renderClientConfig(parsed, {
      resolvedRemotes: literalRemotes(parsed),
      subnet,
    });
    expect(await client.connect(text, { subnet, limitMs: 20_000 })).toMatchObject({ ok: true });
    const algorithm = await engine.containers.create({
      name: 'v6-test-modes-algorithm',
      image: deps.images.vpn,
      labels: LABELS,
      entrypoint: ['/usr/bin/tini', '-g', '--', '/bin/sleep', '600'],
      networks: [{ name: slot.network, address: slot.algorithm }],
      dns: ['127.0.0.1'],
      capabilities: [],
      stopTimeoutSeconds: 1,
    });
    await engine.containers.start(algorithm);
    const container = names.vpnClient(node.name, node.scope);
    return { container, algorithm, warnings, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
