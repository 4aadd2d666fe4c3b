import type { EngineApi } from '../../test/support/engine-api.ts';
import { wallClock } from '../statistics.ts';

/** Ports that upstream gives out, lowest first. */
const FIRST_PORT = 49_152;
const VPN_ADDRESS = '10.203.0.2';

export interface UpstreamInput {
  readonly api: EngineApi;
  /** Has sh, ip and iptables; stands for all of upstream's images. */
  readonly image: string;
  /** Start of all names, and the value of the label. */
  readonly name: string;
  readonly label: string;
  /** Container ports of the algorithm. */
  readonly ports: readonly number[];
  /** What its container runs. */
  readonly algorithm: { readonly image: string; readonly command: readonly string[] };
}

/**
 * vantage6 4.x's sequence of engine operations for its VPN, replayed: the same calls in the same order with the same options,
 * on the same engine and with our images. Left out are pulls, HTTP calls to the server, the tunnel itself, and the rules on the
 * host: all of it would make it slower.
 */
export class Upstream {
  readonly #input: UpstreamInput;
  readonly #network: string;
  readonly #client: string;
  #clientAddress = '';
  #nextPort = FIRST_PORT;

  constructor(input: UpstreamInput) {
    this.#input = input;
    this.#network = `${input.name}-net`;
    this.#client = `${input.name}-vpn-client`;
  }

  /** The isolated network, and a VPN client with the rules of upstream's entry script and a tun device. */
  async prepare(): Promise<void> {
    const { api, image } = this.#input;
    await this.remove();
    await api.call('POST', '/networks/create', {
      Name: this.#network,
      Internal: true,
      Labels: this.#labels(),
    });
    const rules = [
      'ip tuntap add dev tun0 mode tun',
      `ip addr add ${VPN_ADDRESS}/16 dev tun0`,
      'ip link set dev tun0 up',
      'iptables -F FORWARD',
      'iptables -P FORWARD DROP',
      'iptables -A FORWARD -i eth1 -o tun0 -j ACCEPT',
      'iptables -A FORWARD -i tun0 -o eth1 -j ACCEPT',
      'iptables -A FORWARD -i eth1 -o eth1 -j ACCEPT',
      'iptables -t nat -A POSTROUTING -o tun0 -j MASQUERADE',
      'touch /tmp/ready',
      'exec sleep infinity',
    ];
    await api.run(this.#client, {
      Image: image,
      Entrypoint: ['/bin/sh', '-c', rules.join(' && ')],
      Labels: this.#labels(),
      HostConfig: {
        CapAdd: ['NET_ADMIN', 'SYSLOG'],
        Devices: [device('/dev/net/tun')],
        RestartPolicy: { Name: 'unless-stopped' },
      },
    });
    await api.call('POST', `/networks/${this.#network}/connect`, { Container: this.#client });
    for (let attempt = 0; !(await this.#isReady()); attempt += 1)
      if (attempt > 50) throw new Error('The replayed VPN client did not come up.');
    this.#clientAddress = await this.#addressOf(this.#client);
  }

  /** 3.3 of upstream's behaviour, until the algorithm's process runs; milliseconds. */
  async startWithVpn(run: number): Promise<number> {
    const { api, image, name, algorithm } = this.#input;
    const began = wallClock();
    await this.#beforeNetwork(run);
    const helper = await api.run(`${name}-helper-${run}`, {
      Image: image,
      Entrypoint: ['sleep', 'infinity'],
      Labels: this.#labels(),
      HostConfig: { NetworkMode: this.#network },
    });
    await api.call('GET', `/containers/${helper}/json`);
    const address = await this.#addressOf(helper);
    await api.call('GET', `/images/${algorithm.image}/json`);
    const used = "iptables -t nat -L PREROUTING | awk '{print $7}' | cut -c 5-";
    await api.exec(this.#client, ['sh', '-c', used]);
    await api.exec(this.#client, ['ip', '--json', 'addr', 'show', 'dev', 'tun0']);
    await api.exec(this.#client, ['ip', '--json', 'addr', 'show', 'dev', 'tun0']);
    await this.applyPorts(address, this.#input.ports);
    await api.call('GET', `/networks/${this.#network}`);
    await api.runOnce(`${name}-route-${run}`, {
      Image: image,
      Entrypoint: ['ip', 'route', 'replace', 'default', 'via', this.#clientAddress],
      Labels: this.#labels(),
      HostConfig: { NetworkMode: `container:${helper}`, CapAdd: ['NET_ADMIN'] },
    });
    await this.#startAlgorithm(run, `container:${helper}`);
    return wallClock() - began;
  }

  /** The same task on a node without VPN. */
  async startWithout(run: number): Promise<number> {
    const began = wallClock();
    await this.#beforeNetwork(run);
    await this.#startAlgorithm(run, this.#network);
    return wallClock() - began;
  }

  /** One exec with two rules per port: T1 and T2. The rules stay, as upstream's do. */
  async applyPorts(address: string, ports: readonly number[]): Promise<number> {
    const began = wallClock();
    const lines = ports.flatMap((port) => this.#rules(address, port));
    await this.#input.api.exec(this.#client, ['sh', '-c', lines.join('; ')]);
    return wallClock() - began;
  }

  /** An exec for each rule, as upstream's first versions did. */
  async applyPortsOneByOne(address: string, ports: readonly number[]): Promise<number> {
    const began = wallClock();
    for (const port of ports)
      for (const line of this.#rules(address, port))
        await this.#input.api.exec(this.#client, ['sh', '-c', line]);
    return wallClock() - began;
  }

  /** All rules of all tasks: upstream has no such step, and a long table would be its own handicap. */
  async forgetPorts(): Promise<void> {
    this.#nextPort = FIRST_PORT;
    await this.#input.api.exec(this.#client, ['iptables', '-t', 'nat', '-F', 'PREROUTING']);
  }

  /** Helper and algorithm, as at the end of a task. */
  async end(run: number): Promise<void> {
    const { api, name } = this.#input;
    await api.remove(`${name}-helper-${run}`).catch(() => undefined);
    await api.remove(`${name}-${run}`);
  }

  async remove(): Promise<void> {
    const { api, label } = this.#input;
    const filters = encodeURIComponent(JSON.stringify({ label: [label] }));
    const list = await api.call('GET', `/containers/json?all=1&filters=${filters}`);
    for (const { Id } of Object.values(list) as { Id: string }[]) await api.remove(Id);
    await api.call('DELETE', `/networks/${this.#network}`).catch(() => undefined);
    await api.call('DELETE', `/volumes/${this.#input.name}-tmp`).catch(() => undefined);
  }

  /** Steps 1 to 4. */
  async #beforeNetwork(run: number): Promise<void> {
    const { api, name, label } = this.#input;
    const labels = encodeURIComponent(JSON.stringify({ label: [label, `run=${run}`] }));
    const names = encodeURIComponent(JSON.stringify({ name: [`${name}-${run}`] }));
    await api.call('POST', '/volumes/create', {
      Name: `${name}-tmp`,
      Labels: this.#labels(),
    });
    await api.call('GET', `/containers/json?filters=${labels}`);
    await api.call('GET', '/images/json');
    await api.call('GET', `/containers/json?all=1&filters=${names}`);
    await api.call('GET', `/containers/json?all=1&filters=${names}`);
  }

  async #startAlgorithm(run: number, networkMode: string): Promise<void> {
    const { api, name, algorithm } = this.#input;
    await api.run(`${name}-${run}`, {
      Image: algorithm.image,
      Entrypoint: algorithm.command,
      Labels: { ...this.#labels(), run: String(run) },
      HostConfig: { NetworkMode: networkMode, Binds: [`${name}-tmp:/mnt/tmp`] },
    });
  }

  #rules(address: string, port: number): readonly string[] {
    const tunnelPort = this.#nextPort;
    this.#nextPort += 1;
    const to = `-p tcp --dport ${tunnelPort} -j DNAT --to ${address}:${port}`;
    return [
      `iptables -t nat -A PREROUTING -i tun0 ${to}`,
      `iptables -t nat -A PREROUTING -d ${VPN_ADDRESS}/32 ${to}`,
    ];
  }

  async #isReady(): Promise<boolean> {
    await new Promise((resolve) => setTimeout(resolve, 100));
    return this.#input.api.exec(this.#client, ['test', '-e', '/tmp/ready']).then(
      () => true,
      () => false,
    );
  }

  async #addressOf(container: string): Promise<string> {
    const { NetworkSettings } = (await this.#input.api.call(
      'GET',
      `/containers/${container}/json`,
    )) as { NetworkSettings: { Networks: Record<string, { IPAddress: string }> } };
    return NetworkSettings.Networks[this.#network]?.IPAddress ?? '';
  }

  #labels(): Record<string, string> {
    const [key = '', value = ''] = this.#input.label.split('=');
    return { [key]: value };
  }
}

const device = (path: string) => ({
  PathOnHost: path,
  PathInContainer: path,
  CgroupPermissions: 'rwm',
});
