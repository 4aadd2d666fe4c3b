import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { openManagement } from '../../src/adapters/openvpn/management.ts';
import { systemClock } from '../../src/core/clock.ts';
import { isV6Error } from '../../src/core/errors.ts';
import { bridgeName, LABEL } from '../../src/core/labels.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { addressAt, type Cidr, type Ipv4 } from '../../src/core/net/ipv4.ts';
import type { Slot } from '../../src/core/vpn/slot.ts';
import type { VpnClient } from '../../src/node/interfaces/vpn-client.ts';
import { slotAt, slotNetwork } from '../../src/node/slots/slot-plan.ts';
import { createVpnClient, type VpnClientDeps } from '../../src/node/vpn-client/vpn-client.ts';
import { createCertificateMaker } from '../../src/portal/pki.ts';
import { renderStaticKey } from '../../src/portal/static-key.ts';
import { dockerSandbox, type Sandbox } from './docker.ts';
import { type TempFolder, tempFolder } from './temp-folder.ts';
import { until } from './wait.ts';

export const VPN_SUBNET = '10.202.0.0/16' as Cidr;
/** Labs that stand at the same time, each with an uplink and a range for its slots. */
const LABS = 15;
const DAY_MS = 86_400_000;
const ECHO_TCP = 'socat TCP-LISTEN:8888,fork,reuseaddr EXEC:cat';
const ECHO_UDP = 'socat UDP-RECVFROM:8888,fork EXEC:cat';

/** One node of the lab: a VPN client as production makes it, with one slot and an algorithm that echoes. */
export interface LabNode {
  readonly name: string;
  readonly client: VpnClient;
  readonly deps: VpnClientDeps;
  readonly container: string;
  readonly slots: readonly Slot[];
  readonly vpnAddress: Ipv4;
  readonly uplinkAddress: Ipv4;
  readonly config: string;
  readonly runDir: string;
}

/** An uplink network, a VPN server made by hand, and any number of nodes. All of it goes with `remove`. */
export class VpnLab {
  readonly sandbox: Sandbox;
  readonly folder: TempFolder;
  readonly uplink: string;
  readonly bridge: string;
  readonly serverAddress: Ipv4;
  readonly nodes: LabNode[] = [];
  readonly #pki = createCertificateMaker();
  readonly #staticKey = renderStaticKey(randomBytes(256));
  #authority: { certificate: string; privateKey: string } | undefined;

  readonly #index: number;

  private constructor(sandbox: Sandbox, folder: TempFolder, index: number) {
    this.sandbox = sandbox;
    this.folder = folder;
    this.#index = index;
    this.uplink = uplinkName(sandbox);
    this.bridge = bridgeName('v6a', this.uplink);
    this.serverAddress = addressAt(uplinkSubnet(index), 10);
  }

  static async open(name: string): Promise<VpnLab> {
    const sandbox = await dockerSandbox(name);
    await removeClients(sandbox, name);
    const index = await takeUplink(sandbox);
    return new VpnLab(sandbox, await tempFolder(), index);
  }

  get engine(): Sandbox['engine'] {
    return this.sandbox.engine;
  }

  get serverName(): string {
    return `v6-test-${this.sandbox.id}-server`;
  }

  /** `keepalive`: seconds between pings, and without one until a client connects anew. */
  async startServer(keepalive: readonly [number, number] = [2, 8]): Promise<void> {
    const config = path.join(this.folder.path, 'server');
    await mkdir(config, { recursive: true });
    const authority = await this.authority();
    const leaf = await this.#pki.makeServer(authority, this.#leafInput('vpn.example.test'));
    await writeFile(
      path.join(config, 'server.conf'),
      serverConfig(authority.certificate, leaf, this.#staticKey, keepalive),
      { mode: 0o600 },
    );
    const id = await this.engine.containers.create({
      name: this.serverName,
      image: this.sandbox.image,
      labels: this.sandbox.labels,
      entrypoint: ['/usr/bin/tini', '--', '/usr/sbin/openvpn'],
      command: ['--config', '/vpn/server.conf'],
      networks: [{ name: this.uplink, address: this.serverAddress }],
      mounts: [{ source: config, target: '/vpn', readOnly: true }],
      tmpfs: ['/run', '/tmp'],
      devices: ['/dev/net/tun'],
      capabilities: ['NET_ADMIN'],
      sysctls: { 'net.ipv4.ip_forward': '1' },
      stopTimeoutSeconds: 5,
    });
    await this.engine.containers.start(id);
    await until('the VPN server listens', 30_000, async () =>
      (await this.engine.containers.logs(id)).includes('Initialization Sequence Completed'),
    );
  }

  /** The fixed address of a node in the tunnel; its number is 1 and up. */
  vpnAddress(number: number): Ipv4 {
    return addressAt(VPN_SUBNET, 10 + number);
  }

  /** The range for the slots of a node; numbers 1 to 15 of one lab lie side by side. */
  slotRange(number: number): Cidr {
    return `10.201.${this.#index * 16 + number}.0/24` as Cidr;
  }

  /** A node with its networks, its slots and its VPN client, not yet connected. */
  async addNode(
    number: number,
    more: { readonly slots?: number; readonly vpnSubnet?: undefined } = {},
  ): Promise<LabNode> {
    const name = `${this.sandbox.id}-${number}`;
    const range = this.slotRange(number);
    const owner = { scope: 'user', node: name } as const;
    const slots = Array.from({ length: more.slots ?? 1 }, (_, index) =>
      slotAt(owner, range, index),
    );
    for (const slot of slots) await this.addSlotNetwork(owner, slot);
    const runDir = path.join(this.folder.path, `n${number}`);
    const uplinkAddress = addressAt(uplinkSubnet(this.#index), 20 + number);
    const deps: VpnClientDeps = {
      engine: this.engine,
      image: this.sandbox.image,
      node: { name, scope: 'user' },
      runDir,
      uplink: { network: this.uplink, address: uplinkAddress },
      vpnSubnet: 'vpnSubnet' in more ? undefined : VPN_SUBNET,
      isolatedRange: range,
      openManagement,
      logger: silentLogger,
      clock: systemClock,
    };
    const client = createVpnClient(deps);
    await client.start(slots);
    const config = await this.clientConfig(`node-${number}`);
    const node: LabNode = {
      name,
      client,
      deps,
      container: `vantage6-${name}-user-vpn-client`,
      slots,
      vpnAddress: this.vpnAddress(number),
      uplinkAddress,
      config,
      runDir,
    };
    this.nodes.push(node);
    return node;
  }

  async addSlotNetwork(
    owner: { readonly scope: 'user'; readonly node: string },
    slot: Slot,
  ): Promise<void> {
    const spec = slotNetwork(owner, slot);
    await this.engine.networks.ensure({
      ...spec,
      labels: { ...spec.labels, ...this.sandbox.labels },
    });
  }

  async authority(): Promise<{ certificate: string; privateKey: string }> {
    this.#authority ??= await this.#newAuthority();
    return this.#authority;
  }

  /** A client config for this common name; of another authority when asked. */
  async clientConfig(
    commonName: string,
    more: { readonly stranger?: boolean; readonly remote?: string } = {},
  ): Promise<string> {
    const trusted = await this.authority();
    const issuer = more.stranger === true ? await this.#newAuthority() : trusted;
    const leaf = await this.#pki.makeClient(issuer, this.#leafInput(commonName));
    return [
      'dev tun',
      'client',
      'nobind',
      'remote-cert-tls server',
      'tls-version-min 1.3',
      'data-ciphers AES-256-GCM:CHACHA20-POLY1305',
      'reneg-sec 0',
      `<ca>\n${trusted.certificate}\n</ca>`,
      `<cert>\n${leaf.certificate}\n</cert>`,
      `<key>\n${leaf.privateKey}\n</key>`,
      `<tls-crypt>\n${this.#staticKey}\n</tls-crypt>`,
      `remote ${more.remote ?? `${this.serverAddress} 1194 udp`}`,
      '',
    ].join('\n');
  }

  /** A container on a slot that echoes TCP and UDP on port 8888. */
  async addAlgorithm(
    node: LabNode,
    slot: Slot,
    capabilities: readonly string[] = [],
  ): Promise<string> {
    return this.addContainer(`${node.name}-alg-${slot.index}`, {
      command: ['-c', `${ECHO_TCP} & ${ECHO_UDP} & wait`],
      networks: [{ name: slot.network, address: slot.algorithm }],
      capabilities,
    });
  }

  /** A container of the lab that runs a shell line; the image holds socat, ip and ping. */
  async addContainer(
    name: string,
    options: {
      readonly command: readonly string[];
      readonly networks: readonly { readonly name: string; readonly address?: Ipv4 }[];
      readonly capabilities?: readonly string[];
      readonly dns?: readonly string[];
    },
  ): Promise<string> {
    const id = await this.engine.containers.create({
      name: `v6-test-${name}`,
      hostname: name,
      image: this.sandbox.image,
      labels: this.sandbox.labels,
      entrypoint: ['/usr/bin/tini', '-g', '--', '/bin/sh'],
      command: options.command,
      networks: options.networks,
      capabilities: options.capabilities ?? [],
      dns: options.dns ?? ['127.0.0.1'],
      stopTimeoutSeconds: 1,
    });
    await this.engine.containers.start(id);
    return id;
  }

  /** Records every frame on the uplink's bridge; `count` tells how many lines of the record hold a text. */
  async sniff(): Promise<{
    count(text: string): Promise<number>;
    hasBytes(hex: string): Promise<boolean>;
    stop(): Promise<void>;
  }> {
    const id = await this.engine.containers.create({
      name: `v6-test-${this.sandbox.id}-sniff`,
      image: this.sandbox.image,
      labels: this.sandbox.labels,
      entrypoint: ['/usr/bin/tini', '--', '/bin/sh'],
      // A bridge hands frames between its ports to its own device only when that is promiscuous.
      command: [
        '-c',
        `ip link set dev ${this.bridge} promisc on && exec socat -u INTERFACE:${this.bridge} OPEN:/tmp/frames,creat,append`,
      ],
      networkMode: 'host',
      capabilities: ['NET_ADMIN', 'NET_RAW'],
    });
    await this.engine.containers.start(id);
    await until('the sniffer runs', 30_000, async () =>
      (await this.shell(id, 'test -e /tmp/frames && echo yes')).includes('yes'),
    );
    return {
      count: async (text) => Number(await this.shell(id, `grep -a -c '${text}' /tmp/frames`)),
      hasBytes: async (hex) => {
        const line = `od -An -v -tx1 /tmp/frames | tr -d ' \\n' | grep -c ${hex}`;
        return Number(await this.shell(id, line)) > 0;
      },
      stop: () => this.engine.containers.remove(id),
    };
  }

  /** What a shell line in a container prints. */
  async shell(container: string, line: string): Promise<string> {
    const { output } = await this.engine.containers.exec(container, ['/bin/sh', '-c', line]);
    return output;
  }

  /** Sends one word and gives the answer: empty when the connection did not open or nobody answered within 3 s. */
  async ask(
    container: string,
    to: string,
    protocol: 'tcp' | 'udp' = 'tcp',
    word = 'marker',
  ): Promise<string> {
    const address = protocol === 'tcp' ? `TCP:${to},connect-timeout=2` : `UDP:${to}`;
    return this.shell(container, `printf ${word} | socat -t 2 -T 3 - ${address} 2>/dev/null`);
  }

  async remove(): Promise<void> {
    const failures: unknown[] = [];
    for (const { client } of this.nodes)
      await client.remove().catch((error: unknown) => failures.push(error));
    await removeClients(this.sandbox, this.sandbox.id);
    await this.sandbox.removeAll();
    await this.folder.remove();
    if (failures.length > 0) throw failures[0];
  }

  #newAuthority(): Promise<{ certificate: string; privateKey: string }> {
    return this.#pki.makeAuthority(new Date(Date.now() - DAY_MS), new Date(Date.now() + DAY_MS));
  }

  #leafInput(commonName: string): {
    commonName: string;
    organizationalUnit: string;
    notBefore: Date;
    notAfter: Date;
  } {
    return {
      commonName,
      organizationalUnit: 'test',
      notBefore: new Date(Date.now() - DAY_MS),
      notAfter: new Date(Date.now() + DAY_MS),
    };
  }
}

const uplinkName = ({ id }: Sandbox): string => `v6a-test-${id}`;
const uplinkSubnet = (index: number): Cidr => `10.201.${240 + index}.0/24` as Cidr;

/** The lab whose nodes have this range; -1 for others' ranges. */
function labOf(subnet: Cidr): number {
  const third = /^10\.201\.(\d+)\./.exec(subnet)?.[1];
  return third === undefined ? -1 : Math.floor(Number(third) / 16);
}

/** The first uplink subnet that no other lab has. */
async function takeUplink(sandbox: Sandbox): Promise<number> {
  const name = uplinkName(sandbox);
  const slots = await sandbox.engine.networks.list({ [LABEL.kind]: 'slot' });
  const taken = new Set(slots.flatMap(({ subnets }) => subnets.map(labOf)));
  for (let index = 0; ; index += 1) {
    // What another lab, or one that crashed, has in the ranges of this one.
    if (taken.has(index) && index + 1 < LABS) continue;
    const subnet = uplinkSubnet(index);
    try {
      await sandbox.engine.networks.ensure({
        name,
        labels: sandbox.labels,
        subnet,
        gateway: addressAt(subnet, 1),
        bridge: bridgeName('v6a', name),
        form: 'uplink',
      });
      return index;
    } catch (error) {
      if (!isV6Error(error, 'V6_NET_OVERLAP') || index + 1 >= LABS) throw error;
    }
  }
}

/** VPN clients carry production's labels only: those of a run that crashed are known by the node's name. */
async function removeClients({ engine }: Sandbox, prefix: string): Promise<void> {
  for (const { id, labels } of await engine.containers.list({ 'v6.kind': 'vpn-client' }))
    if (labels['v6.node']?.startsWith(prefix)) await engine.containers.remove(id);
}

/** Kernel forwarding between clients; addresses in the order of the common names by a pool of one each. */
function serverConfig(
  authority: string,
  leaf: { certificate: string; privateKey: string },
  staticKey: string,
  keepalive: readonly [number, number],
): string {
  return [
    'port 1194',
    'proto udp4',
    'dev tun0',
    'topology subnet',
    'server 10.202.0.0 255.255.0.0 nopool',
    'dh none',
    'remote-cert-tls client',
    'data-ciphers AES-256-GCM',
    'client-config-dir /vpn/ccd',
    'ccd-exclusive',
    `keepalive ${keepalive.join(' ')}`,
    'persist-key',
    'persist-tun',
    'explicit-exit-notify 1',
    'verb 3',
    // What a real portal may push and a client of ours must not take.
    'push "redirect-gateway def1"',
    'push "route 10.201.0.0 255.255.0.0"',
    'push "dhcp-option DNS 10.202.0.1"',
    `<ca>\n${authority}\n</ca>`,
    `<cert>\n${leaf.certificate}\n</cert>`,
    `<key>\n${leaf.privateKey}\n</key>`,
    `<tls-crypt>\n${staticKey}\n</tls-crypt>`,
    '',
  ].join('\n');
}

/** `ifconfig-push` files for the nodes 1 to `count`. */
export async function writeAddresses(lab: VpnLab, count: number): Promise<void> {
  for (let number = 1; number <= count; number += 1)
    await writeAddress(lab, number, lab.vpnAddress(number));
}

/** The address that the server gives a node from its next connection on. */
export async function writeAddress(lab: VpnLab, number: number, address: Ipv4): Promise<void> {
  const folder = path.join(lab.folder.path, 'server', 'ccd');
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, `node-${number}`), `ifconfig-push ${address} 255.255.0.0\n`);
}
