import { describe, expect, it } from 'vitest';
import { parseNodeConfig } from '../../../../src/core/config/node-config-parser.ts';
import type { V6Error } from '../../../../src/core/errors.ts';

const FILE = '/etc/vantage6/node/alpha.yaml';
const BASE = `
api_key: 3fa85f64-5717-4562-b3fc-2c963f66afa6
server_url: https://server.example.test
port: 443
api_path: /api
task_dir: /tmp/tasks
`;

function failure(text: string): V6Error {
  try {
    parseNodeConfig(text, FILE);
  } catch (error) {
    return error as V6Error;
  }
  throw new Error('nothing was refused');
}

describe('parseNodeConfig', () => {
  it("reads upstream's keys as its wizard writes them", () => {
    const config = parseNodeConfig(
      `${BASE}
databases:
  - label: default
    uri: /data/default.csv
    type: csv
encryption:
  enabled: yes
  private_key: ''
vpn_subnet: 10.76.0.0/16
logging:
  level: DEBUG
  use_console: true
policies:
  allowed_algorithms:
    - ^harbor2\\.vantage6\\.ai/.*
  require_algorithm_pull: false
algorithm_env:
  THREADS: 4
share_algorithm_logs: false
docker_services:
  omop: some-container
`,
      FILE,
    );
    expect(config).toEqual({
      apiKey: '3fa85f64-5717-4562-b3fc-2c963f66afa6',
      serverUrl: 'https://server.example.test',
      port: 443,
      apiPath: '/api',
      databases: [{ label: 'default', uri: '/data/default.csv', type: 'csv' }],
      encrypted: true,
      encryption: { privateKey: undefined, pinnedKeys: new Map(), trustOnFirstUse: true },
      vpnSubnet: '10.76.0.0/16',
      isolatedRange: undefined,
      uplinkNetwork: undefined,
      spareSlots: 4,
      maxRuns: 16,
      policies: {
        allowedAlgorithms: [String.raw`^harbor2\.vantage6\.ai/.*`],
        allowedUsers: [],
        allowedOrganizations: [],
        requireAlgorithmPull: false,
        readOnlyRoot: false,
      },
      algorithmEnv: { THREADS: '4' },
      limits: { memoryBytes: undefined, pids: 1024, cpus: undefined },
      shareAlgorithmLogs: false,
      shareConfig: true,
      logLevel: 'debug',
    });
  });

  it.each([
    ['allowed_users', '[2, alice]'],
    ['allowed_organizations', '{a: b}'],
    ['allowed_algorithm_stores', 'https://store.example.test'],
  ])('refuses policies.%s where it could not enforce it: %s', (key, value) => {
    const error = failure(`${BASE}\npolicies:\n  ${key}: ${value}\n`);
    expect(error.code).toBe('V6_CONFIG_INVALID');
    expect(error.message).toContain(`policies.${key}`);
  });

  it('reads who may start tasks, by numbers and texts alike', () => {
    const { policies } = parseNodeConfig(
      `${BASE}\npolicies:\n  allowed_users: [2, '3']\n  allowed_organizations: [4, '5', North]\n`,
      FILE,
    );
    expect(policies).toMatchObject({
      allowedUsers: [2, 3],
      allowedOrganizations: ['4', '5', 'North'],
    });
  });

  it('reads the private key and pinned keys', () => {
    const colons = 'AB:'.repeat(32).slice(0, -1);
    const { encryption } = parseNodeConfig(
      `${BASE}\nencryption:\n  enabled: true\n  private_key: /k.pem\n  trust_on_first_use: no\n  pinned_keys: {3: '${colons}'}\n`,
      FILE,
    );
    expect(encryption).toEqual({
      privateKey: '/k.pem',
      pinnedKeys: new Map([[3, 'ab'.repeat(32)]]),
      trustOnFirstUse: false,
    });
  });

  it.each(['[1]', '{north: x}', '{3: abc}', '{3: 12}'])('refuses pinned_keys: %s', (value) => {
    const error = failure(`${BASE}\nencryption: {enabled: true, pinned_keys: ${value}}\n`);
    expect(error.code).toBe('V6_CONFIG_INVALID');
    expect(error.message).toContain('encryption.pinned_keys');
  });

  it('reads our own keys', () => {
    const config = parseNodeConfig(
      `${BASE}
isolated_range: 10.99.0.0/22
uplink_network: v6a-demo
spare_slots: 2
max_runs: 3
algorithm_limits: {memory: 1.5g, pids: 64, cpus: 0.5}
`,
      FILE,
    );
    expect(config).toMatchObject({
      isolatedRange: '10.99.0.0/22',
      uplinkNetwork: 'v6a-demo',
      spareSlots: 2,
      maxRuns: 3,
      limits: { memoryBytes: 1.5 * 2 ** 30, pids: 64, cpus: 0.5 },
    });
  });

  it.each(['', "vpn_subnet: ''", 'vpn_subnet:', 'vpn_subnet: null'])(
    'takes VPN for off with %j',
    (line) => {
      expect(parseNodeConfig(`${BASE}${line}\n`, FILE).vpnSubnet).toBeUndefined();
    },
  );

  it('suggests the network for a vpn_subnet with host bits', () => {
    const error = failure(`${BASE}vpn_subnet: 10.76.3.0/16\n`);
    expect(error.code).toBe('V6_CONFIG_SUBNET');
    expect(error.message).toContain(FILE);
    expect(error.message).toContain('10.76.3.0/16');
    expect(error.hints.join(' ')).toContain('10.76.0.0/16');
  });

  it.each([
    ['vpn_subnet: ten', 'V6_CONFIG_SUBNET', 'ten'],
    ['vpn_subnet: 10.76.0.0', 'V6_CONFIG_SUBNET', '10.76.0.0'],
    ['vpn_subnet: 0.0.0.0/0', 'V6_CONFIG_SUBNET', '0.0.0.0/0'],
    ['vpn_subnet: [10.76.0.0/16]', 'V6_CONFIG_SUBNET', '10.76.0.0/16'],
    ['isolated_range: 10.99.0.0/30', 'V6_CONFIG_SUBNET', '10.99.0.0/30'],
    ['isolated_range: 10.99.0.0/28', 'V6_CONFIG_INVALID', 'spare_slots is 4'],
    ['vpn_subnet: 10.0.0.0/8\nisolated_range: 10.99.0.0/22', 'V6_NET_OVERLAP', '10.99.0.0/22'],
    ['spare_slots: 0', 'V6_CONFIG_INVALID', 'spare_slots'],
    ['max_runs: 513', 'V6_CONFIG_INVALID', '513'],
    ['max_runs: 2.5', 'V6_CONFIG_INVALID', '2.5'],
    ['uplink_network: "-x"', 'V6_CONFIG_INVALID', 'uplink_network'],
    ['algorithm_limits: {memory: lots}', 'V6_CONFIG_INVALID', 'algorithm_limits.memory'],
    ['algorithm_limits: {cpus: 0}', 'V6_CONFIG_INVALID', 'algorithm_limits.cpus'],
    ['algorithm_limits: {cpus: all}', 'V6_CONFIG_INVALID', 'algorithm_limits.cpus'],
    ['policies: {read_only_root: maybe}', 'V6_CONFIG_INVALID', 'policies.read_only_root'],
    ['algorithm_limits: 5', 'V6_CONFIG_INVALID', 'algorithm_limits must be a mapping'],
    ['encryption: {enabled: perhaps}', 'V6_CONFIG_INVALID', 'encryption.enabled'],
    ['server_ca: ca.pem', 'V6_CONFIG_INVALID', 'server_ca must be an absolute path'],
    ['logging: {level: NOTSET}', 'V6_CONFIG_INVALID', 'NOTSET'],
    ['policies: {allowed_algorithms: 5}', 'V6_CONFIG_INVALID', 'policies.allowed_algorithms'],
    ['databases: [{label: "not one", uri: x}]', 'V6_CONFIG_INVALID', 'not one'],
    ['databases: nothing', 'V6_CONFIG_INVALID', 'databases[0]'],
    ['algorithm_env: {A: [1]}', 'V6_CONFIG_INVALID', 'algorithm_env'],
  ])('refuses %j', (lines, code, word) => {
    const error = failure(`${BASE}${lines}\n`);
    expect(error.code).toBe(code);
    expect(error.message).toContain(word);
    expect(error.message).toContain(FILE);
  });

  it.each([
    ['api_key: 12345', 'api_key'],
    ['api_key: two words', 'api_key'],
    ['server_url: example.org', 'server_url'],
    ['server_url: https://example.org:8443', 'port'],
    ['port: 0', 'port'],
    ['api_path: "/a b"', 'api_path'],
  ])('refuses %j in place of the right value', (line, key) => {
    const [name = ''] = line.split(':');
    const error = failure(BASE.replace(new RegExp(`^${name}:.*$`, 'm'), line));
    expect(error.code).toBe('V6_CONFIG_INVALID');
    expect(error.message).toContain(key);
    expect(error.entry.exitCode).toBe(78);
  });

  it('names every missing key at once, and never shows the API key', () => {
    const error = failure('port: nine\n');
    for (const key of ['api_key', 'server_url', 'port']) expect(error.message).toContain(key);
    const wrong = failure(BASE.replace(/(api_key: .*)/, '$1 secret-tail'));
    expect(JSON.stringify([wrong.message, wrong.hints, wrong.details])).not.toContain('3fa85f64');
  });

  it('never shows the password in a server_url', () => {
    const error = failure(BASE.replace('https://server', 'https://me:hunter2@server'));
    expect(error.message).not.toContain('hunter2');
  });

  it('takes a port in server_url, or beside it, or none', () => {
    const without = BASE.replace('port: 443\n', 'port:\n');
    expect(parseNodeConfig(without, FILE).port).toBeNull();
    const inside = without.replace('.test', '.test:8443/');
    expect(parseNodeConfig(inside, FILE).serverUrl).toBe('https://server.example.test:8443');
  });
});
