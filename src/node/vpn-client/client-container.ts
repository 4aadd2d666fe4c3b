import { access } from 'node:fs/promises';
import type { ContainerState, Engine } from '../../core/engine/engine.ts';
import { isV6Error, toV6Error, V6Error } from '../../core/errors.ts';
import { LABEL, names, type Scope } from '../../core/labels.ts';
import type { Logger } from '../../core/logger.ts';
import type { Cidr, Ipv4 } from '../../core/net/ipv4.ts';
import type { Slot } from '../../core/vpn/slot.ts';
import type { Drift } from '../interfaces/drift.ts';
import { slotNetwork } from '../slots/slot-plan.ts';
import { type ClientContainer, clientContainerSpec, SETTINGS_LABEL } from './container-spec.ts';

export interface ContainerDeps {
  readonly engine: Pick<Engine, 'containers' | 'networks'>;
  readonly image: string;
  readonly node: { readonly name: string; readonly scope: Scope };
  readonly runDir: string;
  /** The network that leads out, and the VPN client's address on it. */
  readonly uplink: { readonly network: string; readonly address?: Ipv4 };
  readonly vpnSubnet: Cidr | undefined;
  readonly isolatedRange: Cidr;
  readonly logger: Logger;
}

interface Place {
  readonly network: string;
  readonly address: Ipv4 | undefined;
  /** The slot that the network belongs to; none on the uplink. */
  readonly slot?: Slot;
}

/** Makes, adopts and revives the container of one VPN client. Knows nothing of rules and tunnels. */
export class ClientContainerKeeper {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly #deps: ContainerDeps;
  #hasTun: boolean;

  constructor(deps: ContainerDeps) {
    this.#deps = deps;
    this.name = names.vpnClient(deps.node.name, deps.node.scope);
    this.labels = {
      [LABEL.kind]: 'vpn-client',
      [LABEL.scope]: deps.node.scope,
      [LABEL.node]: deps.node.name,
    };
    this.#hasTun = deps.vpnSubnet !== undefined;
  }

  /** False when the VPN is off, or the host turned out to have no tun device. */
  get hasTun(): boolean {
    return this.#hasTun;
  }

  find(): Promise<ContainerState | undefined> {
    return this.#deps.engine.containers.find(this.name);
  }

  /** A running container with these slots attached: the present one where its settings are the same, else a new one. */
  async ensure(slots: readonly Slot[]): Promise<void> {
    const present = await this.find();
    const wanted = clientContainerSpec(await this.#input(), slots).labels[SETTINGS_LABEL];
    if (present?.state === 'running' && present.labels[SETTINGS_LABEL] === wanted) {
      await this.align(slots);
      return;
    }
    await this.create(slots);
  }

  /** A new container in the place of the present one. Nothing is left after a failure. */
  async create(slots: readonly Slot[]): Promise<void> {
    const { containers } = this.#deps.engine;
    await containers.remove(this.name);
    // One that somebody gave another name still holds the addresses.
    for (const { id } of await containers.list(this.labels)) await containers.remove(id);
    const usable = await this.#withNetworks(slots);
    const id = await containers.create(clientContainerSpec(await this.#input(), usable));
    try {
      await containers.start(id);
    } catch (error) {
      await containers.remove(id);
      if (!this.#hasTun || !isV6Error(error, 'V6_NET_TUN_MISSING')) throw error;
      this.#deps.logger.warn('This host has no tun device: the node runs without VPN', {
        code: error.code,
      });
      this.#hasTun = false;
      await this.create(slots);
    }
  }

  /** Brings a container back that does not run: the present one where the engine can start it, else a new one. */
  async revive(slots: readonly Slot[]): Promise<void> {
    const { containers } = this.#deps.engine;
    const present = await this.find();
    if (present?.state === 'running') return;
    if (present) {
      try {
        await containers.start(present.id);
        return;
      } catch (error) {
        this.#deps.logger.warn('The VPN client cannot be started again; making a new one', {
          container: this.name,
          error,
        });
      }
    }
    await this.create(slots);
  }

  /** Connects the container to a slot's network; connected with that address already: nothing. */
  async attach(slot: Slot): Promise<void> {
    const { networks } = this.#deps.engine;
    const address = (await this.find())?.networks[slot.network];
    if (address === slot.client) return;
    if (address !== undefined) await networks.disconnect(slot.network, this.name);
    await networks.connect(slot.network, this.name, slot.client);
  }

  async detach(slot: Slot): Promise<void> {
    await this.#deps.engine.networks.disconnect(slot.network, this.name);
  }

  /**
   * Connects a running container to exactly the uplink and these slots, each with its address. What cannot be connected is told
   * with its failure, and keeps nothing else back. A container that does not run is left alone.
   */
  async align(slots: readonly Slot[]): Promise<readonly Drift[]> {
    const { uplink, engine } = this.#deps;
    const present = await this.find();
    if (present?.state !== 'running') return [];
    const drift: Drift[] = [];
    const wanted = new Set([uplink.network, ...slots.map(({ network }) => network)]);
    for (const network of Object.keys(present.networks)) {
      if (wanted.has(network)) continue;
      const what = `network ${network} of the VPN client`;
      const change = () => engine.networks.disconnect(network, this.name);
      drift.push(await repaired({ what, found: 'connected', wanted: 'not connected' }, change));
    }
    const places = [
      { network: uplink.network, address: uplink.address },
      ...slots.map((slot) => ({ network: slot.network, address: slot.client, slot })),
    ];
    for (const place of places) {
      const found = present.networks[place.network];
      if (found !== undefined && found === (place.address ?? found)) continue;
      const what = `network ${place.network} of the VPN client`;
      const told = { what, found: found ?? 'not connected', wanted: place.address ?? 'connected' };
      const isHalf = place.network in present.networks;
      drift.push(await repaired(told, () => this.#connect(place, isHalf)));
    }
    return drift;
  }

  /** Lets a paused container go on; true when it was paused. */
  async goOn(): Promise<boolean> {
    if ((await this.find())?.state !== 'paused') return false;
    await this.#deps.engine.containers.unpause(this.name);
    return true;
  }

  /** Ends a container that answers nobody. */
  async end(): Promise<void> {
    if ((await this.find())?.state === 'running')
      await this.#deps.engine.containers.kill(this.name, 'SIGKILL');
  }

  async #connect(place: Place, isHalf: boolean): Promise<void> {
    const { networks } = this.#deps.engine;
    const { network, address, slot } = place;
    if (isHalf) await networks.disconnect(network, this.name);
    if (slot !== undefined) await this.#ensureNetwork(slot);
    await networks.connect(network, this.name, address);
  }

  async #ensureNetwork(slot: Slot): Promise<void> {
    const { networks } = this.#deps.engine;
    const { name: node, scope } = this.#deps.node;
    if (!(await networks.find(slot.network)))
      await networks.ensure(slotNetwork({ scope, node }, slot));
  }

  async remove(): Promise<void> {
    const { containers } = this.#deps.engine;
    // Politely, so that the VPN server hears of it and gives the address free.
    await containers.stop(this.name, 5);
    await containers.remove(this.name);
  }

  /**
   * The slots whose network is there. A missing one (`docker network prune` while the client stood still) would keep the
   * container from starting: it is made anew, and left out where that fails.
   */
  async #withNetworks(slots: readonly Slot[]): Promise<readonly Slot[]> {
    const usable: Slot[] = [];
    for (const slot of slots) {
      try {
        await this.#ensureNetwork(slot);
        usable.push(slot);
      } catch (error) {
        this.#deps.logger.warn('The network of a slot is gone and cannot be made anew', {
          network: slot.network,
          error,
        });
      }
    }
    return usable;
  }

  /** The last lines that the container printed: evidence for why it does not run. */
  async lastWords(): Promise<string> {
    try {
      return (await this.#deps.engine.containers.logs(this.name, { tail: 5 })).trim();
    } catch {
      // There is no container: it has nothing to say, and the failure that led here is reported.
      return '';
    }
  }

  async #input(): Promise<ClientContainer> {
    const { image, node, runDir, uplink, vpnSubnet, isolatedRange, engine } = this.#deps;
    const network = await engine.networks.find(uplink.network);
    if (!network)
      throw new V6Error(
        'V6_CONFIG_INVALID',
        `The uplink network ${uplink.network} does not exist`,
        { hints: ['Make it, or leave uplink_network out of the node configuration.'] },
      );
    return {
      image,
      node,
      runDir,
      uplink,
      uplinkGateway: network.gateway,
      vpnSubnet,
      isolatedRange,
      tun: this.#hasTun,
      ipv6: await hasIpv6(),
    };
  }
}

async function repaired(drift: Drift, change: () => Promise<void>): Promise<Drift> {
  try {
    await change();
    return drift;
  } catch (error) {
    return { ...drift, failure: toV6Error(error) };
  }
}

/** `ipv6.disable=1` on the kernel's command line takes the whole tree away. We share the host's kernel. */
async function hasIpv6(): Promise<boolean> {
  return access('/proc/sys/net/ipv6').then(
    () => true,
    () => false,
  );
}
