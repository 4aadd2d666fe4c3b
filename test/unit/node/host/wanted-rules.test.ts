import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { V6Error } from '../../../../src/core/errors.ts';
import type { HostRules } from '../../../../src/core/net/host-rules.ts';
import { type Cidr, type Ipv4, parseCidr } from '../../../../src/core/net/ipv4.ts';
import { type WantedRulesDeps, wantedRules } from '../../../../src/node/host/wanted-rules.ts';
import { FakeEngine } from '../../../fakes/engine.ts';
import { makePair, portalFile } from '../../../support/client-files.ts';

const NODE = { name: 'alpha', scope: 'user' } as const;
const VPN = parseCidr('10.76.0.0/16', 'vpn_subnet');
const CONFIG = { isolatedRange: undefined, uplinkNetwork: undefined, vpnSubnet: VPN };
const WANTED: HostRules = {
  owner: 'user/alpha',
  uplink: { bridge: 'v6a1', subnet: '10.225.0.0/28' as Cidr },
  remotes: [{ address: '192.0.2.99', port: 443, protocol: 'tcp' }],
  localRemotes: [],
};
const RECORD = { wanted: WANTED, backend: 'iptables-nft', places: [], at: '2030-01-01' } as const;
let clientConfig: string;
let engine: FakeEngine;
let deps: WantedRulesDeps;

beforeAll(async () => {
  clientConfig = portalFile(await makePair(new Date('2031-01-01T00:00:00Z')));
});

beforeEach(() => {
  engine = new FakeEngine();
  deps = {
    networks: engine.networks,
    host: { routes: async () => [], addresses: () => ['127.0.0.1', '192.0.2.7'] },
    choices: { find: async () => undefined },
    credentials: { find: async () => undefined },
    records: { find: async () => undefined },
    resolve: async () => ['192.0.2.7' as Ipv4],
  };
});

const wanted = (config: Partial<typeof CONFIG> = {}, isRunning = false) =>
  wantedRules(deps, NODE, { config: { ...CONFIG, ...config }, isRunning });

describe('what a node wants on its host', () => {
  it('is what its daemon wrote down, while that runs', async () => {
    deps = { ...deps, records: { find: async () => RECORD } };
    const { rules, basis } = await wanted({}, true);
    expect(rules).toEqual(WANTED);
    expect(basis).toEqual(['What the running node wrote down at 2030-01-01.']);
  });

  it('is foreseen before the first start, and nothing is made for it', async () => {
    const { rules, basis } = await wanted();
    expect(rules).toMatchObject({ owner: 'user/alpha', remotes: [], localRemotes: [] });
    expect(rules.uplink?.bridge).toMatch(/^v6a[0-9a-f]+$/);
    expect(basis.join('\n')).toMatch(/probably 10\.[\d.]+\/28[^]*No client config is stored/);
    expect(await engine.networks.list({})).toEqual([]);
  });

  it('is the stored choice and the stored client config of a node that ran', async () => {
    const choice = { isolatedRange: '10.225.4.0/22', uplinkSubnet: '10.225.8.0/28' };
    deps = {
      ...deps,
      choices: { find: async () => choice as { isolatedRange: Cidr; uplinkSubnet: Cidr } },
      credentials: { find: async () => clientConfig },
    };
    const { rules, basis } = await wanted();
    expect(rules.uplink?.subnet).toBe('10.225.8.0/28');
    expect(rules.remotes.length).toBeGreaterThan(0);
    // The address is one of this host's.
    expect(rules.localRemotes).toEqual(rules.remotes);
    expect(basis[0]).toBe('The uplink is v6a-user-alpha, 10.225.8.0/28.');
  });

  const unreadable = async (): Promise<string> => {
    throw new V6Error('V6_VPN_CONFIG_INVALID', 'Cannot read it');
  };
  const cases: readonly [string, () => Promise<string>, RegExp][] = [
    ['no host of it has an address', async () => clientConfig, /No host of the stored/],
    ['it is damaged', async () => 'client\n', /cannot be used/],
    ['it cannot be read', unreadable, /Cannot read it/],
  ];
  it.each(cases)('falls back on the remotes of the last start when %s', async (_, find, why) => {
    deps = { ...deps, credentials: { find }, resolve: async () => [] };
    expect((await wanted()).rules.remotes).toEqual([]);
    deps = { ...deps, records: { find: async () => RECORD } };
    const { rules, basis } = await wanted();
    expect(rules.remotes).toEqual(WANTED.remotes);
    expect(basis[1]).toMatch(why);
  });

  it('has no remotes while the VPN is off, whatever is stored', async () => {
    deps = { ...deps, credentials: { find: async () => clientConfig } };
    const config = { ...CONFIG, vpnSubnet: undefined };
    const { rules, basis } = await wantedRules(deps, NODE, { config, isRunning: false });
    expect(rules.remotes).toEqual([]);
    expect(basis[1]).toContain('The VPN is off');
  });

  it('takes bridge and range of a shared uplink from the engine, and says when it is missing', async () => {
    const config = { ...CONFIG, uplinkNetwork: 'site' };
    const before = await wantedRules(deps, NODE, { config, isRunning: false });
    expect(before.rules.uplink).toBeUndefined();
    expect(before.basis[0]).toBe('uplink_network site does not exist.');
    await engine.networks.ensure({
      name: 'site',
      labels: {},
      subnet: '10.9.0.0/24' as Cidr,
      gateway: '10.9.0.1' as Ipv4,
      bridge: 'site0',
      form: 'uplink',
    });
    const { rules } = await wantedRules(deps, NODE, { config, isRunning: false });
    expect(rules.uplink).toEqual({ bridge: 'site0', subnet: '10.9.0.0/24' });
  });
});
