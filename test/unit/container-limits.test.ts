import { describe, expect, it } from 'vitest';
import { toCreateOptions } from '../../src/adapters/docker/container-spec.ts';
import { parseServerConfig } from '../../src/core/config/server-config.ts';
import { contextFor } from '../../src/core/context.ts';
import type { ContainerSpec } from '../../src/core/engine/engine.ts';
import { parseCidr } from '../../src/core/net/ipv4.ts';
import { planDemo } from '../../src/demo/plan.ts';
import { serverSpec } from '../../src/demo/server-container.ts';
import { planDaemonContainer } from '../../src/node/host/daemon-container.ts';
import { hostContainerSpec } from '../../src/node/host-rules/host-container.ts';
import { type AlgorithmSpecInput, algorithmSpec } from '../../src/node/runs/algorithm-spec.ts';
import { slotAt } from '../../src/node/slots/slot-plan.ts';
import { clientContainerSpec } from '../../src/node/vpn-client/container-spec.ts';
import {
  type ContainerInput,
  portalContainer,
  vpnServerContainer,
} from '../../src/portal/container-specs.ts';
import { planServerContainer } from '../../src/server/host/server-container.ts';
import { nodeConfig } from '../fakes/node-world.ts';

const range = parseCidr('10.205.0.0/24', 'range');
const subnet = parseCidr('10.76.0.0/16', 'subnet');
const folders = { home: '/home/ann', isRoot: false };
const node = contextFor('node', 'alpha', 'user', folders);
const slot = slotAt({ scope: 'user', node: 'alpha' }, range, 0);
const folder = { name: 'task-000000041', data: '/d/data/task-000000041', temporary: '/d/data/tmp' };

const algorithm = (changes: Partial<AlgorithmSpecInput> = {}): ContainerSpec =>
  algorithmSpec({
    scope: 'user',
    node: 'alpha',
    run: 41,
    image: 'echo:1',
    databases: [],
    config: nodeConfig({ limits: { memoryBytes: 2 ** 30, pids: 64, cpus: 1.5 } }),
    slot,
    folder,
    ...changes,
  });

const portal = {
  scope: 'user',
  image: 'image:1',
  owner: { uid: 1000, gid: 100 },
  fingerprint: 'abc',
  placement: {
    network: 'v6a-user-portal',
    portalAddress: '10.1.0.2',
    vpnServerAddress: '10.1.0.3',
  },
  settings: {
    dataDir: '/d/portal',
    runDir: '/r/portal',
    subnet,
    listen: { port: 8080 },
    vpn: { port: 1194, protocol: 'udp' },
  },
} as unknown as ContainerInput;

const demo = planDemo({ nodes: 2, taken: [], serverPort: 7600 });
const demoParts = {
  scope: 'demo',
  files: { root: '/d/demo', dataHome: '/d' },
  images: { runtime: 'runtime:1' },
} as unknown as Parameters<typeof serverSpec>[0];

/** Every kind of container that we ever make, with the capabilities that design section 5 leaves it. */
const KINDS: readonly (readonly [string, ContainerSpec, readonly string[], boolean])[] = [
  [
    'algorithm',
    algorithm(),
    ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'SETUID', 'SETGID', 'KILL', 'NET_BIND_SERVICE'],
    false,
  ],
  [
    'VPN client',
    clientContainerSpec(
      {
        image: 'vpn:1',
        node: { name: 'alpha', scope: 'user' },
        runDir: '/r',
        uplink: { network: 'v6a-user-alpha' },
        uplinkGateway: '10.1.0.1',
        vpnSubnet: subnet,
        isolatedRange: range,
        tun: true,
        ipv6: true,
      },
      [slot],
    ),
    ['NET_ADMIN'],
    true,
  ],
  [
    'node daemon',
    planDaemonContainer({
      context: node,
      images: { runtime: 'runtime:1', vpn: 'vpn:1' },
      engineSocket: '/var/run/docker.sock',
      user: { uid: 1000, folders: {} },
    }),
    ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID'],
    true,
  ],
  [
    'host rules',
    hostContainerSpec(
      { image: 'vpn:1', scope: 'user', node: 'alpha' },
      { name: 'rules', isForLegacy: false, hasLock: false },
    ),
    ['NET_ADMIN'],
    true,
  ],
  ['portal', portalContainer(portal), [], true],
  ['VPN server', vpnServerContainer(portal), ['NET_ADMIN', 'DAC_OVERRIDE'], true],
  [
    'server',
    planServerContainer({
      context: contextFor('server', 'trial', 'user', folders),
      config: parseServerConfig('uri: sqlite:///t.sqlite\n', 'trial.yaml'),
      address: { ip: '127.0.0.1', port: 7700 },
      image: 'runtime:1',
      user: { uid: 1000, gid: 100, folders: {} },
      network: 'bridge',
    }),
    [],
    true,
  ],
  ['server of a demo', serverSpec(demoParts, demo), [], true],
];

describe.each(KINDS)('the container of the %s', (_kind, spec, capabilities, hasReadOnlyRoot) => {
  const { HostConfig: host = {} } = toCreateOptions(spec);

  it('has limits of memory and processes, no swap beside, and dumps no memory', () => {
    expect(host.Memory).toBeGreaterThanOrEqual(64 * 2 ** 20);
    expect(host.MemorySwap).toBe(host.Memory);
    expect(host.PidsLimit).toBeGreaterThan(0);
    expect(host.Ulimits).toEqual([{ Name: 'core', Soft: 0, Hard: 0 }]);
    expect(host.LogConfig?.Config).toEqual({ 'max-size': '10m', 'max-file': '3' });
  });

  it('gains no privileges, and keeps only the capabilities that it needs', () => {
    expect(host).toMatchObject({ CapDrop: ['ALL'], SecurityOpt: ['no-new-privileges'] });
    expect(host.CapAdd).toEqual(capabilities);
    expect(host.Privileged).toBeUndefined();
    expect(host.ReadonlyRootfs).toBe(hasReadOnlyRoot);
  });
});

describe('an algorithm', () => {
  it('has a share of the processors, and goes first when the host has no memory left', () => {
    expect(toCreateOptions(algorithm()).HostConfig).toMatchObject({
      NanoCpus: 1_500_000_000,
      OomScoreAdj: 500,
      RestartPolicy: { Name: 'no' },
    });
  });

  it.each([
    ['its image says that it can do with it', { imageLabels: { 'v6.read-only-root': 'true' } }],
    [
      'the node wants it',
      { config: nodeConfig({ policies: { ...nodeConfig().policies, readOnlyRoot: true } }) },
    ],
  ])('has a read-only root where %s, with a writable /tmp and its own folders', (_why, changes) => {
    const spec = algorithm(changes);
    expect(spec.readOnlyRoot).toBe(true);
    expect(spec.tmpfs).toEqual([expect.stringMatching(/^\/tmp:rw,nosuid,nodev/)]);
    expect(spec.mounts?.map(({ target, readOnly }) => [target, readOnly ?? false])).toEqual([
      ['/mnt/data/task-000000041', false],
      ['/mnt/tmp', false],
    ]);
  });

  it('gets nothing more from an image or a task with hostile words', () => {
    const hostile = algorithm({
      image: 'x --privileged -v /:/host:rw --cap-add=ALL',
      imageLabels: {
        'v6.read-only-root': 'TRUE; privileged',
        'v6.kind': 'node',
        'v6.run': '1',
        mounts: '/:/host',
        'com.docker.compose.project': 'x',
      },
    });
    expect({ ...hostile, image: '' }).toEqual({ ...algorithm(), image: '' });
    expect(toCreateOptions(hostile).HostConfig).toEqual(toCreateOptions(algorithm()).HostConfig);
  });

  it('gets no mount out of the databases that a task asks for but those of the node, read-only', () => {
    const config = nodeConfig({
      databases: [{ label: 'patients', uri: '/srv/patients.csv', type: 'csv' }],
    });
    const parameters = JSON.stringify({
      query: '$(cat /etc/shadow)',
      mounts: ['/:/host'],
      uri: '/etc',
      sheet_name: '../../../etc',
    });
    const relation = { id: 1, link: '', methods: [] };
    const { mounts } = algorithm({
      config,
      databases: [{ label: 'patients', type: 'csv', parameters, run: relation } as never],
    });
    expect(mounts?.slice(2)).toEqual([
      { source: '/srv/patients.csv', target: '/mnt/patients.csv', readOnly: true },
    ]);
    for (const label of ['/etc', '../patients', 'patients:rw']) {
      const asks = () => algorithm({ config, databases: [{ label, parameters: '{}' } as never] });
      expect(asks).toThrow(/does not have/);
    }
  });
});
