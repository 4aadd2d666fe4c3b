import type {
  ContainerState,
  Containers,
  NetworkState,
  Networks,
} from '../../core/engine/engine.ts';
import { isV6Error, toV6Error } from '../../core/errors.ts';
import { LABEL, names } from '../../core/labels.ts';
import type { Slot } from '../../core/vpn/slot.ts';
import type { Drift } from '../interfaces/drift.ts';
import { bridgeless, type HostLinks } from './host-links.ts';
import { type SlotOwner, slotNetwork } from './slot-plan.ts';

export interface SlotCheckDeps {
  readonly networks: Pick<Networks, 'ensure' | 'list' | 'remove' | 'connect' | 'disconnect'>;
  readonly containers: Pick<Containers, 'list'>;
  readonly hostLinks: HostLinks;
}

/** The engine's view of all slots of a node, read once for a check. */
export interface SlotsView {
  /** By name. */
  readonly networks: ReadonlyMap<string, NetworkState>;
  /** Names of those whose bridge somebody else deleted: the engine does not notice. */
  readonly withoutBridge: ReadonlySet<string>;
  /** By run; only those that run. */
  readonly algorithms: ReadonlyMap<number, ContainerState>;
}

/** Reads what the check compares with. Throws V6_ENGINE_*. */
export async function viewSlots(deps: SlotCheckDeps, owner: SlotOwner): Promise<SlotsView> {
  const labels = { [LABEL.scope]: owner.scope, [LABEL.node]: owner.node };
  const [networks, algorithms] = await Promise.all([
    deps.networks.list({ [LABEL.kind]: 'slot', ...labels }),
    deps.containers.list({ [LABEL.kind]: 'algorithm', ...labels }),
  ]);
  // Asked last: a network that is listed had its bridge before.
  const withoutBridge = await bridgeless(networks, deps.hostLinks);
  return {
    networks: new Map(networks.map((network) => [network.name, network])),
    withoutBridge: new Set(withoutBridge.map(({ name }) => name)),
    algorithms: new Map(
      algorithms
        .filter(({ state }) => state === 'running' || state === 'paused')
        .map((container) => [Number(container.labels[LABEL.run]), container]),
    ),
  };
}

/**
 * Compares one slot's network with what the node wants, and repairs it: the network itself, the algorithm of the run that has the
 * slot, and nobody else in it. The VPN client connects itself (see ClientLink.reconcile). Never rejects.
 */
export async function checkSlotNetwork(
  deps: SlotCheckDeps,
  owner: SlotOwner,
  /** Looked at again after each question to the engine. */
  use: { readonly slot: Slot; readonly run: number | null },
  view: SlotsView,
): Promise<readonly Drift[]> {
  const { slot, run: runBefore } = use;
  const drift: Drift[] = [];
  const network = await restoreNetwork(deps, owner, slot, view, drift);
  const { run } = use;
  // A run came or went while the engine answered: nobody can say now who is a stranger.
  if (network === undefined || run !== runBefore) return drift;
  const algorithm = run === null ? undefined : view.algorithms.get(run);
  const allowed = new Set([names.vpnClient(owner.node, owner.scope)]);
  if (run !== null) allowed.add(names.algorithm(owner.node, run, owner.scope));
  for (const name of Object.keys(network.containers)) {
    if (allowed.has(name)) continue;
    const told = {
      what: `container ${name} in the slot network ${slot.network}`,
      found: 'connected',
      wanted: 'not connected',
    };
    await repair(drift, told, () => deps.networks.disconnect(slot.network, name));
  }
  if (algorithm !== undefined) await restoreAlgorithm(deps, slot, network, algorithm, drift);
  return drift;
}

async function restoreNetwork(
  deps: SlotCheckDeps,
  owner: SlotOwner,
  slot: Slot,
  { networks, withoutBridge }: SlotsView,
  drift: Drift[],
): Promise<NetworkState | undefined> {
  const spec = slotNetwork(owner, slot);
  const what = `slot network ${slot.network}`;
  const found = networks.get(slot.network);
  let made: NetworkState | undefined;
  const makeAnew = async (): Promise<void> => {
    await deps.networks.remove(slot.network);
    made = await deps.networks.ensure(spec);
  };
  if (withoutBridge.has(slot.network)) {
    const told = { what, found: `without its bridge ${slot.bridge}`, wanted: slot.subnet };
    await repair(drift, told, makeAnew);
    return made;
  }
  try {
    const state = await deps.networks.ensure(spec);
    if (found === undefined) drift.push({ what, found: 'missing', wanted: slot.subnet });
    return state;
  } catch (error) {
    const told = {
      what,
      found: isV6Error(error, 'V6_ENGINE_CONFLICT') ? error.message : 'missing',
      wanted: slot.subnet,
    };
    if (found === undefined || !isV6Error(error, 'V6_ENGINE_CONFLICT')) {
      drift.push({ ...told, failure: toV6Error(error) });
      return undefined;
    }
    await repair(drift, told, makeAnew);
    return made;
  }
}

async function restoreAlgorithm(
  deps: SlotCheckDeps,
  slot: Slot,
  network: NetworkState,
  algorithm: ContainerState,
  drift: Drift[],
): Promise<void> {
  const address = network.containers[algorithm.name];
  if (address === slot.algorithm) return;
  const told = {
    what: `algorithm ${algorithm.name} in the slot network ${slot.network}`,
    found: address ?? 'not connected',
    wanted: slot.algorithm,
  };
  await repair(drift, told, async () => {
    // The engine may still list a network that is gone, or the same with another address.
    if (slot.network in algorithm.networks || address !== undefined)
      await deps.networks.disconnect(slot.network, algorithm.name);
    await deps.networks.connect(slot.network, algorithm.name, slot.algorithm);
  });
}

async function repair(drift: Drift[], told: Drift, change: () => Promise<void>): Promise<void> {
  try {
    await change();
    drift.push(told);
  } catch (error) {
    drift.push({ ...told, failure: toV6Error(error) });
  }
}
