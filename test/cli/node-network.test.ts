import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../src/core/logger.ts';
import type { Ipv4 } from '../../src/core/net/ipv4.ts';
import type { DaemonNetwork, DaemonStatus } from '../../src/core/protocol/daemon.ts';
import { type ControlServer, serveControl } from '../../src/node/control.ts';
import { OFF_VERDICT } from '../../src/node/vpn/verdict.ts';
import { jsonSchema } from '../support/json-schema.ts';
import { type CliResult, runCli } from '../support/run-cli.ts';

const GOOD = 'api_key: an-api-key-1234\nserver_url: http://localhost\nport: 7601\napi_path: /api\n';
const NETWORK: DaemonNetwork = {
  uplink: 'v6a-user-alpha',
  slots: [{ network: 'v6z-user-alpha-0', subnet: '10.99.0.0/29', bridge: 'v6z1', run: 41 }],
  vpnClient: { container: 'vantage6-alpha-user-vpn-client', running: true, rules: 'table x' },
  runs: [
    {
      run: 41,
      task: 17,
      ports: [{ label: null, protocol: 'tcp', port: 8888, tunnelPort: 49_153 }],
      peers: ['10.76.0.6'],
      destinations: [{ address: '10.76.0.6' as Ipv4, protocol: 'tcp', port: 50_000 }],
    },
  ],
  refusals: [
    {
      run: 41,
      side: 'receiving',
      address: '10.76.0.9' as Ipv4,
      protocol: 'tcp',
      port: 49_153,
      packets: 2,
    },
  ],
  hostRules: 'table inet v6guard',
  host: {
    backend: 'iptables-legacy',
    evidence: ['iptables-legacy has a filter table (/proc/net/ip_tables_names)'],
    bridgeNfCallIptables: null,
    forwardPolicy: 'drop',
    owners: ['user/alpha'],
    rules: 'table inet v6guard',
    conflicts: [
      { where: 'inet site, chain f', flow: 'of a test', rule: 'drop', isCertain: true, hints: [] },
    ],
  },
};
let home: string;
let control: ControlServer | undefined;

beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'v6-net-'));
  await mkdir(path.join(home, 'config/vantage6/node'), { recursive: true });
});

afterEach(async () => {
  await control?.close();
  control = undefined;
  await rm(home, { recursive: true, force: true });
});

/** There is no engine: what is refused is refused before one is asked. */
const network = (...args: readonly string[]): Promise<CliResult> =>
  runCli(['node', 'network', ...args], {
    env: {
      HOME: home,
      XDG_CONFIG_HOME: `${home}/config`,
      XDG_RUNTIME_DIR: `${home}/run`,
      DOCKER_HOST: `unix://${home}/no-engine.sock`,
      V6_HOST_UID: '1000',
    },
  });

async function configure(text: string): Promise<void> {
  await writeFile(path.join(home, 'config/vantage6/node/alpha.yaml'), text);
}

describe('v6 node network, asked wrongly', () => {
  it.each([
    [['undo', '--name', 'alpha', '--json'], 2, 'V6_USAGE_MISSING_ANSWER'],
    [['undo', '--name', 'alpha', '--dry-run', '--yes', '--json'], 2, 'V6_USAGE'],
    [['undo', '--name', 'al/pha', '--yes', '--json'], 2, 'V6_USAGE'],
    [['plan', '--name', 'alpha', '--user', '--system', '--json'], 2, 'V6_USAGE'],
    [['plan', '--name', 'alpha', '--scope', 'elsewhere', '--json'], 2, 'V6_USAGE'],
    [['plan', '--nmae', 'alpha', '--json'], 2, 'V6_USAGE'],
    [['plan', '--name', 'alpha', '--json'], 78, 'V6_CONFIG_NOT_FOUND'],
    [['apply', '--name', 'alpha', '--json'], 78, 'V6_CONFIG_NOT_FOUND'],
    [['undo', '--name', 'alpha', '--yes', '--json'], 69, 'V6_ENGINE_MISSING'],
    [['show', '--name', 'alpha', '--json'], 69, 'V6_ENGINE_MISSING'],
    [['plan', '--json'], 69, 'V6_ENGINE_MISSING'],
  ])('ends %j with %i and %s', async (args, status, code) => {
    const result = await network(...args);
    expect(result.status).toBe(status);
    expect(JSON.parse(result.stdout)).toMatchObject({ error: { code } });
  });

  it('reads the configuration before it asks the engine', async () => {
    await configure(`${GOOD}vpn_subnet: 10.76.3.0/16\n`);
    expect((await network('plan', '--name', 'alpha')).stderr).toContain('V6_CONFIG_SUBNET');
    await configure(GOOD);
    const { status, stderr } = await network('apply', '--name', 'alpha');
    expect(status).toBe(69);
    expect(stderr).toContain('V6_ENGINE_MISSING');
  });
});

describe('v6 node network show, of a node that runs', () => {
  beforeEach(async () => {
    const no = async (): Promise<never> => Promise.reject(new Error('not asked'));
    control = await serveControl(
      {
        status: () => ({}) as DaemonStatus,
        verdict: async () => OFF_VERDICT,
        renew: no,
        vpn: no,
        disconnect: no,
        release: no,
        connect: no,
        network: async () => NETWORK,
      },
      { runDir: `${home}/run/v6/user/alpha`, logger: silentLogger },
    );
  });

  it('asks its daemon and no engine, and says it all', async () => {
    const { stdout, status } = await network('show', '--name', 'alpha');
    expect(status).toBe(0);
    expect(stdout).toMatch(/^firewall +iptables-legacy$/m);
    expect(stdout).toContain('CONFLICT: traffic of a test is dropped in inet site, chain f');
    expect(stdout).toMatch(/^41 +from 10\.76\.0\.9 to 49153\/tcp +2$/m);
  });

  it('is one document of its schema', async () => {
    const { stdout } = await network('show', '--name', 'alpha', '--json');
    const document: unknown = JSON.parse(stdout);
    expect(document).toEqual({ running: true, ...NETWORK });
    (await jsonSchema('node-network-show')).parse(document);
  });
});
