import { execa } from 'execa';
import { bridgeName } from '../../src/core/labels.ts';
import { addressAt, type Cidr } from '../../src/core/net/ipv4.ts';
import { type Witness, witnessIn, witnessProgram } from './attack.ts';
import type { VpnLab } from './vpn-lab.ts';
import { until } from './wait.ts';

/** Stands for the internet (RFC 5737, TEST-NET-2). */
export const INTERNET = '198.51.100.80';
/** The metadata service of most clouds. */
export const METADATA = '169.254.169.254';
const HOST_SIDE = '198.51.100.1/24';
/** Below all that a host usually has; of our rules alone. */
const RULE_PRIORITY = '4747';
const TABLE = '4747';
const OTHER_SUBNET = '10.201.255.0/24' as Cidr;
const PORT = 80;

/**
 * What lies behind a hospital's host, without any real network: a place with an internet address and a metadata service,
 * reached by routes that only the lab's own bridges use, and another Docker network with two containers in it.
 */
export class OutsideWorld {
  /** `address:port` */
  readonly internet = `${INTERNET}:${PORT}`;
  readonly metadata = `${METADATA}:${PORT}`;
  readonly witness: Witness;
  /** Serves on port 80 in another Docker network. */
  readonly neighbour: string;
  readonly neighbourAddress: string;
  readonly neighbourWitness: Witness;
  /** A plain container of that network, from where everything is reached that a plain container reaches. */
  readonly bystander: string;
  readonly network: string;
  /** Of that network: one more address of the host. */
  readonly gateway: string;
  readonly #lab: VpnLab;

  private constructor(lab: VpnLab, ids: Record<'outside' | 'neighbour' | 'bystander', string>) {
    this.#lab = lab;
    this.witness = witnessIn(ids.outside);
    this.neighbour = ids.neighbour;
    this.neighbourWitness = witnessIn(ids.neighbour);
    this.neighbourAddress = `${addressAt(OTHER_SUBNET, 80)}:${PORT}`;
    this.bystander = ids.bystander;
    this.network = `v6-test-${lab.sandbox.id}-other`;
    this.gateway = addressAt(OTHER_SUBNET, 1);
  }

  static async open(lab: VpnLab): Promise<OutsideWorld> {
    await removeRules();
    await removeOther(lab);
    const { id, labels } = lab.sandbox;
    const network = `v6-test-${id}-other`;
    // No bridge of v6: the guard does not know it.
    const bridge = `x${bridgeName('v6a', network).slice(4)}`;
    await lab.engine.networks.ensure({
      name: network,
      labels,
      subnet: OTHER_SUBNET,
      gateway: addressAt(OTHER_SUBNET, 1),
      bridge,
      form: 'uplink',
    });
    const serve = ['-c', `${witnessProgram(PORT)} wait`];
    const outside = await outsideContainer(lab);
    const neighbour = await lab.addContainer(`${id}-other-1`, {
      command: serve,
      networks: [{ name: network, address: addressAt(OTHER_SUBNET, 80) }],
      capabilities: ['NET_BIND_SERVICE'],
    });
    const bystander = await lab.addContainer(`${id}-other-2`, {
      command: ['-c', 'exec sleep 900'],
      networks: [{ name: network }],
    });
    for (const from of [bridge, lab.bridge])
      await ip('rule', 'add', 'iif', from, 'lookup', TABLE, 'priority', RULE_PRIORITY);
    return new OutsideWorld(lab, { outside, neighbour, bystander });
  }

  /** The containers go with the lab, and the link with its container. */
  async remove(): Promise<void> {
    await removeRules();
    await this.#lab.engine.containers.remove(`v6-test-${this.#lab.sandbox.id}-outside`);
  }
}

/** A container whose only link ends on the host, with routes to it that need one of our rules. */
async function outsideContainer(lab: VpnLab): Promise<string> {
  const { engine, sandbox } = lab;
  const name = `v6-test-${sandbox.id}-outside`;
  const id = await engine.containers.create({
    name,
    image: sandbox.image,
    labels: sandbox.labels,
    entrypoint: ['/usr/bin/tini', '-g', '--', '/bin/sh'],
    command: ['-c', `${witnessProgram(PORT, 53)} wait`],
    networkMode: 'none',
    capabilities: ['NET_ADMIN', 'NET_BIND_SERVICE'],
    stopTimeoutSeconds: 1,
  });
  await engine.containers.start(id);
  const pid = (await engine.containers.find(id))?.pid ?? 0;
  const link = `x${sandbox.id}`.slice(0, 14);
  await ip('link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(pid));
  await ip('addr', 'add', HOST_SIDE, 'dev', link);
  await ip('link', 'set', link, 'up');
  await until('the outside has its addresses', 5000, () =>
    engine.containers
      .exec(id, [
        '/bin/sh',
        '-c',
        `ip link set eth0 up && ip addr add ${INTERNET}/24 dev eth0 && ip addr add ${METADATA}/32 dev eth0 && ip route add default via 198.51.100.1`,
      ])
      .then(({ exitCode }) => exitCode === 0),
  );
  await ip('route', 'add', METADATA, 'via', INTERNET, 'dev', link, 'table', TABLE);
  return id;
}

/** The addresses are the same for every lab: what another one left that was killed goes first. */
async function removeOther({ engine }: VpnLab): Promise<void> {
  for (const { name, subnets, labels } of await engine.networks.list({})) {
    const owner = labels['v6.test'];
    if (owner === undefined || !subnets.includes(OTHER_SUBNET)) continue;
    for (const { id } of await engine.containers.list({ 'v6.test': owner }))
      await engine.containers.remove(id);
    await engine.networks.remove(name);
  }
}

/** Rules that a crashed run left as well. */
async function removeRules(): Promise<void> {
  for (;;) {
    const { exitCode } = await execa('ip', ['rule', 'del', 'priority', RULE_PRIORITY], {
      reject: false,
    });
    if (exitCode !== 0) break;
  }
}

async function ip(...words: readonly string[]): Promise<void> {
  await execa('ip', words);
}
