import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { shell } from './attack.ts';
import type { VpnLab } from './vpn-lab.ts';
import { until } from './wait.ts';

/** A member of the VPN with a valid certificate and an openvpn of its own: no rules but the VPN server's bind it. */
export interface Rogue {
  /** Holds NET_ADMIN and NET_RAW. */
  readonly container: string;
  readonly vpnAddress: string;
}

/** Tells the lab's VPN server what it gives to a member when that connects; `more`: lines as in openvpn(8), client-config-dir. */
export async function giveMember(
  lab: VpnLab,
  number: number,
  more: readonly string[] = [],
): Promise<void> {
  const ccd = path.join(lab.folder.path, 'server', 'ccd');
  await mkdir(ccd, { recursive: true });
  const lines = [`ifconfig-push ${lab.vpnAddress(number)} 255.255.0.0`, ...more];
  await writeFile(path.join(ccd, `node-${number}`), `${lines.join('\n')}\n`);
}

/** Joins the lab's VPN as the member with this number (10 to 15: those below are nodes). */
export async function joinAsRogue(
  lab: VpnLab,
  number: number,
  more: readonly string[] = [],
): Promise<Rogue> {
  const vpnAddress = lab.vpnAddress(number);
  const name = `node-${number}`;
  await giveMember(lab, number, more);
  const folder = path.join(lab.folder.path, `rogue-${number}`);
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, 'client.ovpn'), await lab.clientConfig(name), { mode: 0o600 });
  const { engine, sandbox } = lab;
  const container = await engine.containers.create({
    name: `v6-test-${sandbox.id}-rogue-${number}`,
    image: sandbox.image,
    labels: sandbox.labels,
    entrypoint: ['/usr/bin/tini', '--', '/usr/sbin/openvpn'],
    command: ['--config', '/rogue/client.ovpn', '--dev', 'tun0', '--verb', '4'],
    networks: [{ name: lab.uplink }],
    mounts: [{ source: folder, target: '/rogue', readOnly: true }],
    devices: ['/dev/net/tun'],
    capabilities: ['NET_ADMIN', 'NET_RAW'],
    sysctls: { 'net.ipv6.conf.all.disable_ipv6': '0', 'net.ipv6.conf.default.disable_ipv6': '0' },
    stopTimeoutSeconds: 1,
  });
  await engine.containers.start(container);
  await until(
    'the rogue is in the VPN',
    20_000,
    () => shell(container, 'ip -o -4 addr show dev tun0 2>&1'),
    (text) => text.includes(vpnAddress),
  );
  return { container, vpnAddress };
}

/** Ports of an address that take a TCP connection, out of these; from a container with socat. One packet of each may be lost. */
export async function openPorts(
  container: string,
  address: string,
  ports: readonly number[],
): Promise<readonly number[]> {
  const probe = `{ socat -u OPEN:/dev/null TCP:${address}:$p,connect-timeout=3.5 2>/dev/null && echo open $p; } &`;
  const text = await shell(container, `for p in ${ports.join(' ')}; do ${probe} done; wait`);
  return [...text.matchAll(/open (\d+)/g)]
    .map(([, port]) => Number(port))
    .toSorted((a, b) => a - b);
}

/** Ports of services that a host or a container may have, and a sample of the range that tunnel ports come from. */
export const SCANNED_PORTS: readonly number[] = [
  '20 21 22 23 25 53 67 80 110 111 123 135 139 143 161 179 389 443 445 465 514 587 631 636 873 993 995',
  '1080 1194 1433 1521 2049 2375 2376 2377 3000 3128 3306 3389 4789 5000 5353 5432 5672 5900 6379 6443',
  '7601 7777 7946 8000 8080 8081 8443 8888 8889 9000 9090 9100 9200 10250 11211 27017',
]
  .flatMap((line) => line.split(' ').map(Number))
  .concat(Array.from({ length: 40 }, (_, index) => 49152 + index))
  .concat(Array.from({ length: 30 }, (_, index) => 49200 + index * 540));
