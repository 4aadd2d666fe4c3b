import { expect, it } from 'vitest';
import { parseCidr } from '../../../../src/core/net/ipv4.ts';
import type { NetworkChoice } from '../../../../src/node/interfaces/host-view.ts';
import { settleNetworks } from '../../../../src/node/slots/own-networks.ts';
import { FakeEngine } from '../../../fakes/engine.ts';

const owner = { scope: 'user', node: 'alpha' } as const;
const cidr = (text: string) => parseCidr(text, 'test');
const config = { isolatedRange: undefined, uplinkNetwork: undefined, vpnSubnet: undefined };

const world = (routes: { destination: string; device: string }[] = []) => {
  const engine = new FakeEngine();
  const warnings: string[] = [];
  let stored: NetworkChoice | undefined;
  const deps = {
    networks: engine.networks,
    host: {
      routes: async () =>
        routes.map(({ destination, device }) => ({ destination: cidr(destination), device })),
    },
    choices: {
      find: async () => stored,
      save: async (choice: NetworkChoice) => {
        stored = choice;
      },
    },
    logger: {
      debug() {},
      info() {},
      error() {},
      warn: (message: string, fields: Readonly<Record<string, unknown>> = {}) => {
        warnings.push(`${String(fields.code)} ${message}`);
      },
    },
  };
  return { engine, deps, warnings, stored: () => stored };
};

it('makes an uplink of its own, keeps the choice, and finds both again', async () => {
  const { engine, deps, stored } = world();
  const first = await settleNetworks(deps, owner, config);
  expect(first).toMatchObject({ uplink: 'v6a-user-alpha', isOwnUplink: true });
  expect(engine.held().networks).toEqual(['v6a-user-alpha']);
  expect(stored()?.isolatedRange).toBe(first.isolatedRange);
  expect(await settleNetworks(deps, owner, config)).toEqual(first);
});

it('joins the configured uplink, which must exist', async () => {
  const { engine, deps } = world();
  const shared = { ...config, uplinkNetwork: 'demo-net' };
  await expect(settleNetworks(deps, owner, shared)).rejects.toThrow(/demo-net does not exist/);
  await engine.networks.ensure({
    name: 'demo-net',
    labels: {},
    subnet: cidr('10.205.8.0/24'),
    gateway: '10.205.8.1' as never,
    bridge: 'demo0',
    form: 'uplink',
  });
  expect(await settleNetworks(deps, owner, shared)).toMatchObject({
    uplink: 'demo-net',
    uplinkGateway: '10.205.8.1',
    isOwnUplink: false,
  });
});

it('takes its own uplink away when it is told to join another', async () => {
  const { engine, deps } = world();
  await settleNetworks(deps, owner, config);
  await engine.networks.ensure({
    name: 'shared',
    labels: {},
    subnet: cidr('10.205.8.0/24'),
    gateway: '10.205.8.1' as never,
    bridge: 'shared0',
    form: 'uplink',
  });
  await settleNetworks(deps, owner, { ...config, uplinkNetwork: 'shared' });
  expect(engine.held().networks).toEqual(['shared']);
});

it('warns where vpn_subnet covers a route of the host, and goes on', async () => {
  const { deps, warnings } = world([{ destination: '10.76.3.0/24', device: 'eth0' }]);
  await settleNetworks(deps, owner, { ...config, vpnSubnet: cidr('10.76.0.0/16') });
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toMatch(/^V6_NET_OVERLAP vpn_subnet covers/);
});

it('does not take the routes of our own bridges for somebody else', async () => {
  const { deps } = world([{ destination: '10.230.0.0/22', device: 'v6a0123456789a' }]);
  const range = cidr('10.230.0.0/22');
  await expect(
    settleNetworks(deps, owner, { ...config, isolatedRange: range }),
  ).resolves.toMatchObject({ isolatedRange: range });
});
