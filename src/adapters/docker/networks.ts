import { access } from 'node:fs/promises';
import type Docker from 'dockerode';
import type { NetworkInspectInfo } from 'dockerode';
import type { NetworkSpec, NetworkState, Networks } from '../../core/engine/engine.ts';
import { V6Error } from '../../core/errors.ts';
import type { Cidr, Ipv4 } from '../../core/net/ipv4.ts';
import { createTurns } from '../../core/turns.ts';
import { endpointConfig } from './container-spec.ts';
import { hasStatus, reasonOf, request, translateEngineError } from './errors.ts';

const BRIDGE = 'com.docker.network.bridge.name';
const MASQUERADE = 'com.docker.network.bridge.enable_ip_masquerade';
/** The host owns no address on the bridge, and containers still get the gateway as default route. */
const INHIBIT = 'com.docker.network.bridge.inhibit_ipv4';

/** Options of the engine's bridge driver for one of our two forms. */
export function bridgeOptions(
  spec: Pick<NetworkSpec, 'bridge' | 'form'>,
): Readonly<Record<string, string>> {
  return spec.form === 'slot'
    ? { [BRIDGE]: spec.bridge, [INHIBIT]: 'true', [MASQUERADE]: 'false' }
    : { [BRIDGE]: spec.bridge };
}

export function toNetworkState(info: NetworkInspectInfo): NetworkState {
  const ranges = info.IPAM?.Config ?? [];
  return {
    id: info.Id,
    name: info.Name,
    labels: info.Labels ?? {},
    subnets: ranges.map(({ Subnet }) => Subnet).filter((subnet) => subnet !== undefined) as Cidr[],
    gateway: ranges[0]?.Gateway,
    bridge: info.Options?.[BRIDGE] ?? (info.Driver === 'bridge' ? defaultBridge(info) : undefined),
    containers: Object.fromEntries(
      Object.values(info.Containers ?? {}).map(({ Name, IPv4Address }) => [
        Name,
        IPv4Address.split('/')[0] ?? '',
      ]),
    ),
  };
}

/** libnetwork names a bridge after the network's id when nobody else does. */
function defaultBridge(info: NetworkInspectInfo): string {
  return info.Name === 'bridge' ? 'docker0' : `br-${info.Id.slice(0, 12)}`;
}

/** Which settings of an existing network differ from what is wanted. */
function differences(info: NetworkInspectInfo, spec: NetworkSpec): string[] {
  const state = toNetworkState(info);
  const options = bridgeOptions(spec);
  const found: string[] = [];
  if (state.subnets[0] !== spec.subnet)
    found.push(`subnet ${state.subnets[0]} instead of ${spec.subnet}`);
  if (state.gateway !== spec.gateway)
    found.push(`gateway ${state.gateway} instead of ${spec.gateway}`);
  if (info.Internal) found.push('internal');
  for (const name of [BRIDGE, INHIBIT, MASQUERADE]) {
    if (info.Options?.[name] !== options[name])
      found.push(`${name}=${info.Options?.[name]} instead of ${options[name]}`);
  }
  return found;
}

/** Networks of one engine. */
export class DockerNetworks implements Networks {
  readonly #docker: Docker;
  readonly #inTurn = createTurns();

  constructor(docker: Docker) {
    this.#docker = docker;
  }

  async ensure(spec: NetworkSpec): Promise<NetworkState> {
    if (spec.bridge.length > 15)
      throw new RangeError(`bridge name longer than 15 characters: ${spec.bridge}`);
    // One after the other: the engine refuses the second while it makes the first, which is not listed yet then, and its bridge
    // would be taken for what the refusal left.
    return this.#inTurn(spec.name, () => this.#ensure(spec));
  }

  async #ensure(spec: NetworkSpec): Promise<NetworkState> {
    const action = `create the network ${spec.name} (${spec.subnet})`;
    const present = await request(action, () => this.#inspect(spec.name));
    if (present) return sameOrConflict(present, spec);
    const hadBridge = await hasLink(spec.bridge);
    try {
      await request(action, () =>
        this.#docker.createNetwork({
          Name: spec.name,
          CheckDuplicate: true,
          Driver: 'bridge',
          Labels: { ...spec.labels },
          Options: { ...bridgeOptions(spec) },
          IPAM: {
            Driver: 'default',
            Config: [
              {
                Subnet: spec.subnet,
                Gateway: spec.gateway,
                ...(spec.pool === undefined ? {} : { IPRange: spec.pool }),
              },
            ],
          },
        }),
      );
    } catch (error) {
      // Somebody else may have made the same network meanwhile: then it is ours to use.
      const winner = await this.#inspect(spec.name).catch(() => undefined);
      if (winner) return sameOrConflict(winner, spec);
      if (!hadBridge) await this.#removeOrphan(spec.bridge);
      throw error;
    }
    const made = await request(action, () => this.#inspect(spec.name));
    if (!made)
      throw new V6Error('V6_ENGINE_REQUEST', `The network ${spec.name} went away as it was made`);
    return sameOrConflict(made, spec);
  }

  async find(name: string): Promise<NetworkState | undefined> {
    const info = await request(`inspect the network ${name}`, () => this.#inspect(name));
    return info && toNetworkState(info);
  }

  async list(labels: Readonly<Record<string, string>>): Promise<readonly NetworkState[]> {
    return request('list networks', async () => {
      const label = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
      const found = await this.#docker.listNetworks({ filters: { label } });
      const infos = await Promise.all(found.map(({ Id }) => this.#inspect(Id)));
      return infos.filter((info) => info !== undefined).map(toNetworkState);
    });
  }

  async remove(name: string): Promise<void> {
    await request(`remove the network ${name}`, async () => {
      const info = await this.#inspect(name);
      if (!info) return;
      for (const id of Object.keys(info.Containers ?? {})) await this.#detach(name, id);
      try {
        await this.#docker.getNetwork(info.Id).remove();
      } catch (error) {
        if (!hasStatus(error, 404)) throw error;
      }
    });
  }

  async connect(network: string, container: string, address?: Ipv4): Promise<void> {
    await request(`connect ${container} to the network ${network}`, () =>
      this.#docker.getNetwork(network).connect({
        Container: container,
        EndpointConfig: endpointConfig(address),
      }),
    );
  }

  async disconnect(network: string, container: string): Promise<void> {
    await request(`disconnect ${container} from the network ${network}`, () =>
      this.#detach(network, container),
    );
  }

  /** By force: it also works for a container that does not run, and for a network that is gone. */
  async #detach(network: string, container: string): Promise<void> {
    try {
      await this.#docker.getNetwork(network).disconnect({ Container: container, Force: true });
    } catch (error) {
      if (!hasStatus(error, 404) && !/is not connected/i.test(reasonOf(error))) throw error;
    }
  }

  async #inspect(name: string): Promise<NetworkInspectInfo | undefined> {
    try {
      const info = await this.#docker.getNetwork(name).inspect();
      // The engine also answers to a part of an id; we only mean whole names and ids.
      return info.Name === name || info.Id === name ? info : undefined;
    } catch (error) {
      if (hasStatus(error, 404)) return undefined;
      throw error;
    }
  }

  /** A refused network can leave its bridge, which then owns the gateway's address (network-design, pitfall P4). */
  async #removeOrphan(bridge: string): Promise<void> {
    if (!(await hasLink(bridge))) return;
    const networks = await this.#docker.listNetworks().catch(() => undefined);
    const isUsed = networks?.some(({ Options }) => Options?.[BRIDGE] === bridge) ?? true;
    if (isUsed) return;
    const { execa } = await import('execa');
    try {
      await execa('ip', ['link', 'delete', bridge, 'type', 'bridge'], { timeout: 10_000 });
    } catch (error) {
      throw new V6Error('V6_ENGINE_REQUEST', `A refused network left the bridge ${bridge}`, {
        hints: [`Remove it as root: ip link delete ${bridge} type bridge`],
        cause: translateEngineError(error, `remove ${bridge}`),
      });
    }
  }
}

function sameOrConflict(info: NetworkInspectInfo, spec: NetworkSpec): NetworkState {
  const found = differences(info, spec);
  if (found.length === 0) return toNetworkState(info);
  throw new V6Error(
    'V6_ENGINE_CONFLICT',
    `The network ${spec.name} exists with other settings: ${found.join(', ')}`,
    { hints: [`Remove it when nothing uses it: docker network rm ${spec.name}`] },
  );
}

/** Only of use where we share the host's network name space; elsewhere nothing is found and nothing is done. */
async function hasLink(name: string): Promise<boolean> {
  try {
    await access(`/sys/class/net/${name}`);
    return true;
  } catch {
    return false;
  }
}
