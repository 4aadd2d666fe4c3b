import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ECHO_IMAGE } from '../../src/core/labels.ts';
import { literalRemotes, parseClientConfig } from '../../src/core/vpn/client-config.ts';
import { renderClientConfig } from '../../src/core/vpn/client-render.ts';
import { createCertificateMaker } from '../../src/portal/pki.ts';
import { renderServerConfig } from '../../src/portal/server-config.ts';
import { EngineApi } from '../../test/support/engine-api.ts';
import { type LabNode, VPN_SUBNET, VpnLab, writeAddresses } from '../../test/support/vpn-lab.ts';
import { until } from '../../test/support/wait.ts';

const PORT = 1194;
const TRAFFIC = { host: path.join(import.meta.dirname, 'traffic.ts'), inside: '/bench/traffic.ts' };
const NODE = '/usr/local/bin/node';
/** Where the sink of both ways listens. */
export const SINK_PORT = 8888;
/** The tunnel port of the sink behind our VPN client. */
const TUNNEL_PORT = 49_152;
const DAY_MS = 86_400_000;

/** One way through the same VPN server: who calls, and what it calls. */
export interface Way {
  readonly name: 'v6' | 'bare';
  /** Container that runs the traffic program. */
  readonly caller: string;
  readonly host: string;
  readonly port: number;
  /** Containers that hold an openvpn of this way. */
  readonly clients: readonly string[];
}

export interface TunnelWorld {
  readonly lab: VpnLab;
  readonly api: EngineApi;
  readonly server: string;
  readonly ways: readonly [Way, Way];
  remove(): Promise<void>;
}

/**
 * One VPN server as the portal makes it, rules included, and four clients with keys of one authority: two VPN clients of
 * nodes with an algorithm behind each, and two containers in which openvpn runs with the same client config and nothing else.
 */
export async function openTunnelWorld(): Promise<TunnelWorld> {
  const api = new EngineApi();
  const lab = await VpnLab.open('benchtunnel');
  try {
    await writeAddresses(lab, 4);
    const server = await startServer(lab);
    const ways = [await openOurs(lab), await openBare(lab, api)] as const;
    const remove = (): Promise<void> => lab.remove();
    return { lab, api, server, ways: [ways[0], ways[1]], remove };
  } catch (error) {
    await lab.remove();
    throw error;
  }
}

/** `images/vpn/vpn-server.sh` with the portal's configuration. */
async function startServer(lab: VpnLab): Promise<string> {
  const folder = path.join(lab.folder.path, 'server');
  await mkdir(folder, { recursive: true });
  const authority = await lab.authority();
  const leaf = await createCertificateMaker().makeServer(authority, {
    commonName: 'vpn.example.test',
    organizationalUnit: 'bench',
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + DAY_MS),
  });
  const { staticKey } = parseClientConfig(await lab.clientConfig('node-1'));
  const files = {
    'server.conf': renderServerConfig({ subnet: VPN_SUBNET, port: PORT, protocol: 'udp' }),
    'ca.crt': authority.certificate,
    'server.crt': leaf.certificate,
    'server.key': leaf.privateKey,
    'tls-crypt.key': staticKey?.key ?? '',
  };
  for (const [name, text] of Object.entries(files))
    await writeFile(path.join(folder, name), `${text}\n`, { mode: 0o600 });
  const { containers } = lab.engine;
  const id = await containers.create({
    name: lab.serverName,
    image: lab.sandbox.image,
    labels: lab.sandbox.labels,
    entrypoint: ['/usr/bin/tini', '--', '/usr/local/lib/v6/vpn-server.sh'],
    networks: [{ name: lab.uplink, address: lab.serverAddress }],
    mounts: [{ source: folder, target: '/vpn', readOnly: true }],
    env: { VPN_NET: VPN_SUBNET, VPN_PORT: String(PORT), VPN_PROTOCOL: 'udp' },
    tmpfs: ['/run/vpn', '/tmp'],
    devices: ['/dev/net/tun'],
    capabilities: ['NET_ADMIN'],
    sysctls: { 'net.ipv4.ip_forward': '1', 'net.ipv4.conf.all.send_redirects': '0' },
    stopTimeoutSeconds: 5,
  });
  await containers.start(id);
  return id;
}

async function openOurs(lab: VpnLab): Promise<Way> {
  const nodes = [await lab.addNode(1), await lab.addNode(2)] as const;
  for (const node of nodes) {
    const outcome = await node.client.connect(node.config, {
      subnet: VPN_SUBNET,
      limitMs: 20_000,
    });
    if (!outcome.ok) throw new Error(outcome.failure.message);
  }
  const [sending, receiving] = nodes;
  const caller = await addAlgorithm(lab, sending, ['sleep', 'infinity']);
  await addAlgorithm(lab, receiving, [NODE, TRAFFIC.inside, 'serve', String(SINK_PORT)]);
  const family = { task: 1, parent: null, mappings: [], peers: [], destinations: [] };
  const end = { address: receiving.vpnAddress, protocol: 'tcp', port: TUNNEL_PORT } as const;
  await sending.client.applyRun(1, {
    ...family,
    algorithm: slotOf(sending).algorithm,
    destinations: [end],
  });
  const { algorithm } = slotOf(receiving);
  await receiving.client.applyRun(1, {
    ...family,
    algorithm,
    mappings: [
      {
        protocol: 'tcp',
        tunnelPort: TUNNEL_PORT,
        address: algorithm,
        port: SINK_PORT,
        label: null,
      },
    ],
    peers: [sending.vpnAddress],
  });
  return {
    name: 'v6',
    caller,
    host: receiving.vpnAddress,
    port: TUNNEL_PORT,
    clients: nodes.map(({ container }) => container),
  };
}

function slotOf({ slots: [slot] }: LabNode) {
  if (slot === undefined) throw new Error('The node has no slot.');
  return slot;
}

async function addAlgorithm(
  { engine, sandbox }: VpnLab,
  node: LabNode,
  command: readonly string[],
): Promise<string> {
  const slot = slotOf(node);
  const id = await engine.containers.create({
    name: `v6-bench-${node.name}-algorithm`,
    image: ECHO_IMAGE,
    labels: sandbox.labels,
    entrypoint: ['/usr/bin/tini', '--'],
    command,
    networks: [{ name: slot.network, address: slot.algorithm }],
    mounts: [{ source: TRAFFIC.host, target: TRAFFIC.inside, readOnly: true }],
    capabilities: [],
    dns: ['127.0.0.1'],
  });
  await engine.containers.start(id);
  return id;
}

async function openBare(lab: VpnLab, api: EngineApi): Promise<Way> {
  const clients = [await addBareClient(lab, 3), await addBareClient(lab, 4)] as const;
  const inNetworkOf = (client: string, command: readonly string[]) =>
    api.run(`${client.slice(0, 12)}-traffic`, {
      Image: ECHO_IMAGE,
      Entrypoint: ['/usr/bin/tini', '--', ...command],
      Cmd: [],
      Labels: lab.sandbox.labels,
      HostConfig: {
        NetworkMode: `container:${client}`,
        Binds: [`${TRAFFIC.host}:${TRAFFIC.inside}:ro`],
      },
    });
  const caller = await inNetworkOf(clients[0], ['sleep', 'infinity']);
  await inNetworkOf(clients[1], [NODE, TRAFFIC.inside, 'serve', String(SINK_PORT)]);
  return { name: 'bare', caller, host: lab.vpnAddress(4), port: SINK_PORT, clients };
}

async function addBareClient(lab: VpnLab, number: number): Promise<string> {
  const config = parseClientConfig(await lab.clientConfig(`node-${number}`));
  const folder = path.join(lab.folder.path, `bare-${number}`);
  await mkdir(folder, { recursive: true });
  const text = renderClientConfig(config, {
    resolvedRemotes: literalRemotes(config),
    subnet: VPN_SUBNET,
  });
  await writeFile(path.join(folder, 'client.ovpn'), text, { mode: 0o600 });
  const { containers } = lab.engine;
  const id = await containers.create({
    name: `v6-bench-${lab.sandbox.id}-bare-${number}`,
    image: lab.sandbox.image,
    labels: lab.sandbox.labels,
    entrypoint: ['/usr/bin/tini', '--', '/usr/sbin/openvpn'],
    command: ['--config', '/client/client.ovpn', '--disable-dco'],
    networks: [{ name: lab.uplink }],
    mounts: [{ source: folder, target: '/client', readOnly: true }],
    tmpfs: ['/run', '/tmp'],
    devices: ['/dev/net/tun'],
    capabilities: ['NET_ADMIN'],
    stopTimeoutSeconds: 2,
  });
  await containers.start(id);
  await until('the bare tunnel is up', 20_000, async () =>
    (await containers.logs(id)).includes('Initialization Sequence Completed'),
  );
  return id;
}

/** Runs the traffic program in the caller's container; what it printed. */
export async function runTraffic(
  { lab }: TunnelWorld,
  way: Way,
  mode: 'stream' | 'rounds',
  amount: number,
): Promise<unknown> {
  const { exitCode, output } = await lab.engine.containers.exec(way.caller, [
    NODE,
    TRAFFIC.inside,
    mode,
    way.host,
    String(way.port),
    String(amount),
  ]);
  if (exitCode !== 0) throw new Error(`${way.name}, ${mode}: ${output}`);
  return JSON.parse(output);
}

/** Processor time that these containers have used, ms. */
export async function processorMs(api: EngineApi, containers: readonly string[]): Promise<number> {
  let sum = 0;
  for (const container of containers) {
    const stats = (await api.call(
      'GET',
      `/containers/${container}/stats?stream=false&one-shot=true`,
    )) as { cpu_stats: { cpu_usage: { total_usage: number } } };
    sum += stats.cpu_stats.cpu_usage.total_usage / 1e6;
  }
  return sum;
}
