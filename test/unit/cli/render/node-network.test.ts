import { describe, expect, it } from 'vitest';
import {
  renderNetworkApply,
  renderNetworkPlan,
  renderNetworkUndo,
  renderNodeNetwork,
} from '../../../../src/cli/render/node-network.ts';
import type { HostConflict } from '../../../../src/core/net/host-rules.ts';
import type { Ipv4 } from '../../../../src/core/net/ipv4.ts';
import type {
  NetworkPlan,
  NetworkUndo,
  NetworkView,
} from '../../../../src/core/protocol/node-network.ts';

const CONFLICT: HostConflict = {
  where: 'table inet site, chain forward',
  flow: 'between an algorithm and the VPN client',
  rule: 'counter drop',
  isCertain: true,
  hints: ['nft insert rule inet site forward iifname "v6z*" accept'],
};
const PLAN: NetworkPlan = {
  node: { name: 'alpha', scope: 'user', running: false },
  backend: 'iptables-nft',
  evidence: ['nft has chain DOCKER-USER in table ip filter'],
  bridgeNfCallIptables: true,
  forwardPolicy: 'drop',
  basis: ['The uplink is v6a-user-alpha, 10.225.1.0/28.'],
  isUpToDate: false,
  changes: [
    {
      action: 'add',
      what: 'accept-jump',
      where: 'iptables-nft filter DOCKER-USER',
      why: 'The rules there would drop bridged VPN traffic.',
      text: '-A DOCKER-USER -j V6-FORWARD',
    },
    {
      action: 'keep',
      what: 'guard',
      where: 'table inet v6guard',
      why: 'Containers of v6 must not reach this host.',
      text: 'table inet v6guard',
    },
  ],
  conflicts: [CONFLICT],
};
const UNDO: NetworkUndo = {
  node: { name: 'alpha', scope: 'user', running: false },
  isDryRun: false,
  backend: 'iptables-nft',
  isEmpty: false,
  changes: PLAN.changes.map((change) => ({ ...change, action: 'remove' as const })),
  conflicts: [],
  containers: ['vantage6-alpha-user-vpn-client'],
  networks: ['v6a-user-alpha'],
};
const VIEW: NetworkView = {
  running: true,
  uplink: 'v6a-user-alpha',
  slots: [
    { network: 'v6z-user-alpha-1', subnet: '10.99.0.0/29', bridge: 'v6z1', run: null },
    { network: 'v6z-user-alpha-2', subnet: '10.99.0.8/29', bridge: 'v6z2', run: 41 },
  ],
  vpnClient: { container: 'vantage6-alpha-user-vpn-client', running: true, rules: 'table x' },
  hostRules: null,
  host: null,
};

describe('the plan of host rules for a human', () => {
  it('says how the firewall is known, what would change where and why, and how to do it', () => {
    const text = renderNetworkPlan(PLAN);
    expect(text).toMatch(/^node +alpha \(user\), not running$/m);
    expect(text).toMatch(/^firewall +iptables-nft\n +nft has chain DOCKER-USER/m);
    expect(text).toMatch(/^forward policy +drop$/m);
    expect(text).toContain(
      'would add accept jump in iptables-nft filter DOCKER-USER\n' +
        '  The rules there would drop bridged VPN traffic.\n' +
        '  | -A DOCKER-USER -j V6-FORWARD\n' +
        'stays guard in table inet v6guard',
    );
    expect(text.endsWith('1 thing would change: v6 node network apply --name alpha')).toBe(true);
  });

  it.each([
    ['system', '--name alpha --system'],
    ['demo-two', '--name alpha --scope demo-two'],
  ])('names a node of scope %s as commands want it', (scope, flags) => {
    const text = renderNetworkPlan({ ...PLAN, node: { ...PLAN.node, scope } });
    expect(text.endsWith(`v6 node network apply ${flags}`)).toBe(true);
  });

  it('names the conflict, its rule and what to do', () => {
    expect(renderNetworkPlan(PLAN)).toContain(
      'CONFLICT: traffic between an algorithm and the VPN client is dropped in table inet site, chain forward\n' +
        '  | counter drop\n  → nft insert rule',
    );
    const unsure = { ...PLAN, conflicts: [{ ...CONFLICT, isCertain: false }] };
    expect(renderNetworkPlan(unsure)).toContain('POSSIBLE CONFLICT');
  });

  it('says so when there is nothing to do', () => {
    const idle = { ...PLAN, isUpToDate: true, conflicts: [] };
    expect(renderNetworkPlan(idle).endsWith('Nothing would change.')).toBe(true);
    expect(renderNetworkApply(idle).endsWith('Nothing had to change.')).toBe(true);
    expect(renderNetworkApply(PLAN)).toContain('added accept jump');
  });
});

describe('the end of host rules for a human', () => {
  it('lists what was removed, or would be', () => {
    expect(renderNetworkUndo(UNDO)).toMatch(
      /^removed container vantage6-alpha-user-vpn-client\nremoved network v6a-user-alpha\nremoved accept jump/,
    );
    expect(renderNetworkUndo({ ...UNDO, isDryRun: true })).toMatch(/^would remove container/);
    expect(renderNetworkUndo({ ...UNDO, isEmpty: true })).toBe(
      'Nothing of the node alpha (user) is on this host.',
    );
  });
});

describe('networks and rules for a human', () => {
  it('are the slots with their runs, and both sets of rules', () => {
    const text = renderNodeNetwork(VIEW);
    expect(text).toContain('VPN client  vantage6-alpha-user-vpn-client (running)');
    expect(text).toMatch(/^v6z-user-alpha-2 +10\.99\.0\.8\/29 +v6z2 +41$/m);
    expect(text).toContain('Rules of v6 on the host:\nnone');
    expect(text.endsWith('table x')).toBe(true);
    expect(text).not.toContain('daemon');
  });

  it('say who may reach a run and whom it may reach, and what was refused', () => {
    const text = renderNodeNetwork({
      ...VIEW,
      runs: [
        {
          run: 41,
          task: 17,
          ports: [{ label: 'http', protocol: 'tcp', port: 8888, tunnelPort: 49_153 }],
          peers: ['10.76.0.6', '10.76.0.7'],
          destinations: [{ address: '10.76.0.6' as Ipv4, protocol: 'udp', port: 50_000 }],
        },
        { run: 42, task: 18, ports: [], peers: [], destinations: [] },
      ],
      refusals: [
        {
          run: 41,
          side: 'sending',
          address: '10.76.0.9' as Ipv4,
          protocol: 'tcp',
          port: 22,
          packets: 3,
        },
      ],
    });
    expect(text).toMatch(
      /^41 +17 +49153\/tcp +10\.76\.0\.6 10\.76\.0\.7 +10\.76\.0\.6:50000\/udp$/m,
    );
    expect(text).toMatch(/^42 +18 +none +none +none$/m);
    expect(text).toMatch(/^41 +to 10\.76\.0\.9:22\/tcp +3$/m);
  });

  it('show the firewall and its conflicts, also of a node that does not run', () => {
    const { backend, evidence, bridgeNfCallIptables, forwardPolicy, conflicts } = PLAN;
    const host = { backend, evidence, bridgeNfCallIptables, forwardPolicy, conflicts };
    const owners = ['user/alpha', 'user/beta'];
    const text = renderNodeNetwork({
      ...VIEW,
      running: false,
      uplink: '',
      host: { ...host, owners, rules: 'table inet v6guard' },
    });
    expect(text).toMatch(/^daemon +not running$/m);
    expect(text).toMatch(/^uplink +none$/m);
    expect(text).toMatch(/^rules of +user\/alpha, user\/beta$/m);
    expect(text).toContain('CONFLICT: traffic between');
  });
});
