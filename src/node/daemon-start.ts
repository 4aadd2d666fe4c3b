import { KeyRing } from '../core/crypto/key-ring.ts';
import { V6Error } from '../core/errors.ts';
import type { Cidr } from '../core/net/ipv4.ts';
import type { Slot } from '../core/vpn/slot.ts';
import type { DaemonDeps } from './daemon-deps.ts';
import { type StartVerdict, startVpn } from './daemon-vpn.ts';
import { plainPayloads } from './encryption/payloads.ts';
import type { EnginePresence } from './engine-presence.ts';
import { TaskFamilies } from './family/task-families.ts';
import { NodeHostRules } from './host-rules/node-rules.ts';
import type { NodeIdentity } from './interfaces/coordinator.ts';
import type { VpnClient } from './interfaces/vpn-client.ts';
import { logIn } from './login.ts';
import { PortLeases } from './ports/leases.ts';
import { NetworkKeeper } from './reconcile/network-keeper.ts';
import { type Recovery, recoverRuns } from './runs/recovery.ts';
import { RunManager } from './runs/run-manager.ts';
import { untilAnswered } from './server-patience.ts';
import { type OwnNetworks, settleNetworks } from './slots/own-networks.ts';
import type { SlotOwner } from './slots/slot-plan.ts';
import { SlotPool } from './slots/slot-pool.ts';
import type { Teardown } from './teardown.ts';
import type { CredentialLadder } from './vpn/ladder.ts';
import { createRenewal, type Renewal } from './vpn/renewal.ts';

/** What the start works with. All that it makes, it adds to the teardown at once. */
export interface StartInput {
  readonly deps: DaemonDeps;
  readonly owner: SlotOwner;
  readonly teardown: Teardown;
  readonly presence: EnginePresence;
  readonly verdict: StartVerdict;
  /** Fires when everything has been undone. */
  readonly life: AbortSignal;
}

/** What must stand before the node can work. */
export interface Ground {
  readonly identity: NodeIdentity;
  readonly keys: KeyRing | undefined;
  readonly networks: OwnNetworks;
  readonly hostRules: NodeHostRules;
  readonly slots: SlotPool;
  readonly vpn: VpnClient;
  readonly recovery: Recovery;
  /** The slots that stood ready when the VPN client started. */
  readonly prepared: readonly Slot[];
  /** Whether a tunnel is wanted and can be made. */
  readonly hasTunnel: boolean;
}

/** What a started node consists of. */
export interface DaemonParts
  extends Pick<Ground, 'identity' | 'keys' | 'networks' | 'slots' | 'vpn'> {
  readonly ladder: CredentialLadder | undefined;
  readonly renewal: Renewal | undefined;
  readonly families: TaskFamilies;
  readonly runs: RunManager;
  readonly keeper: NetworkKeeper;
}

export interface GroundOptions {
  /** How long an absent server is waited for at the login. */
  readonly loginLimitMs: number;
  readonly signal: AbortSignal;
  /** Told when a slot turned out to be damaged. */
  readonly onDamage: (what: string) => void;
}

/** Events are hints that can get lost: the open runs are read again this often. */
const SYNC_EVERY_MS = 60_000;
/** A server that swaps our own key is noticed after this at the latest. */
const OWN_KEY_EVERY_MS = 300_000;

/**
 * First half of the start, all that waits for others and can fail: login, keys, networks, host rules, what an earlier daemon left,
 * slots, VPN client. Throws what `NodeDaemon.start` lists.
 */
export async function layGround(input: StartInput, options: GroundOptions): Promise<Ground> {
  const { deps, owner } = input;
  const { signal, onDamage } = options;
  const identity = await introduceNode(deps, options);
  const keys = await openKeys(deps, identity, signal);
  const networks = await openNetworks(input);
  const hostRules = await openHostRules(input, networks);
  const vpn = deps.createVpnClient(networks);
  const slots = createSlots(input, { vpn, range: networks.isolatedRange, onDamage });
  const open = await untilAnswered(deps, 'open runs', signal, () =>
    deps.coordinator.runs.listOpen(undefined, signal),
  );
  const node = { scope: owner.scope, name: owner.node };
  const recovery = await recoverRuns({ ...deps, node }, open, networks.isolatedRange);
  const prepared = await slots.prepare(recovery.busySlots);
  signal.throwIfAborted();
  undoWithEngine(
    input,
    'VPN client',
    () => vpn.remove(),
    () => vpn.close(),
  );
  const busy = prepared.filter(({ index }) => recovery.busySlots.has(index));
  await vpn.start(
    prepared,
    busy.map(({ algorithm }) => algorithm),
  );
  signal.throwIfAborted();
  const hasTunnel = deps.config.vpnSubnet !== undefined && (await deps.hasTun(vpn));
  return { identity, keys, networks, hostRules, slots, vpn, recovery, prepared, hasTunnel };
}

/** Second half: the parts that work on this ground. The ladder climbs from here on; the others wait for `setToWork`. */
export function createParts(input: StartInput, ground: Ground): DaemonParts {
  const { deps, owner, life } = input;
  const { identity, keys, networks, hostRules, slots, vpn } = ground;
  const ladder = ground.hasTunnel
    ? deps.createLadder(vpn, async (remotes) => {
        await hostRules.apply(remotes);
      })
    : undefined;
  const gate = startVpn(input, vpn, ladder);
  const families = createFamilies(input, identity, vpn);
  const runs = new RunManager(
    {
      ...deps,
      identity,
      vpn,
      slots,
      gate,
      payloads: keys ?? plainPayloads,
      families,
      node: { scope: owner.scope, name: owner.node },
      runs: deps.coordinator.runs,
      events: deps.coordinator.events,
      organizations: deps.coordinator.organizations,
      ports: new PortLeases(),
    },
    life,
  );
  gate.onUp(() => runs.tunnelIsUp());
  const renewal = ladder && createRenewal({ ...deps, ladder });
  const keeper = new NetworkKeeper({ ...deps, owner, networks, slots, vpn, hostRules });
  return { identity, keys, networks, slots, vpn, ladder, renewal, families, runs, keeper };
}

/** From here on the node does its work: it carries on the runs of an earlier daemon, hears the server, checks its networks. */
export function setToWork(input: StartInput, parts: DaemonParts, recovery: Recovery): void {
  const { renewal, runs, keeper } = parts;
  void renewal?.run(input.life);
  runs.adopt(recovery);
  listen(input, parts);
  input.teardown.add('network checks', () => keeper.stop());
  keeper.start();
}

/** A step of the teardown that only the engine can carry out. */
function undoWithEngine(
  { teardown, presence }: StartInput,
  what: string,
  undo: () => Promise<void>,
  otherwise?: () => Promise<void>,
): void {
  teardown.add(what, () => presence.unlessGone(undo, otherwise));
}

async function introduceNode(
  deps: DaemonDeps,
  { loginLimitMs, signal }: GroundOptions,
): Promise<NodeIdentity> {
  const { session } = deps.coordinator;
  const { encrypted } = deps.config;
  const identity = await logIn({ ...deps, session }, { encrypted, limitMs: loginLimitMs, signal });
  deps.logger.info('The node has logged in', {
    node: identity.id,
    organization: identity.organization,
    collaboration: identity.collaboration,
    server: session.baseUrl,
  });
  return identity;
}

/** In an encrypted collaboration: our public key at the server, and bodies of algorithms encrypted on their way. */
async function openKeys(
  deps: DaemonDeps,
  { organization: own }: NodeIdentity,
  signal: AbortSignal,
): Promise<KeyRing | undefined> {
  if (deps.encryption === undefined) return undefined;
  const { organizations } = deps.coordinator;
  const keys = new KeyRing({ ...deps, ...deps.encryption, own, organizations });
  await untilAnswered(deps, 'public key', signal, () => keys.register(signal));
  deps.proxy.usePayloads(keys);
  return keys;
}

async function openNetworks(input: StartInput): Promise<OwnNetworks> {
  const { deps, owner } = input;
  const engineNetworks = deps.engine.networks;
  const networks = await settleNetworks({ ...deps, networks: engineNetworks }, owner, deps.config);
  undoWithEngine(input, 'uplink network', async () => {
    if (networks.isOwnUplink) await engineNetworks.remove(networks.uplink);
  });
  return networks;
}

async function openHostRules(
  input: StartInput,
  { uplinkBridge }: OwnNetworks,
): Promise<NodeHostRules> {
  const { scope, node } = input.owner;
  const hostRules = new NodeHostRules(input.deps, `${scope}/${node}`, uplinkBridge);
  undoWithEngine(input, 'host rules', () => hostRules.undo());
  await hostRules.begin();
  return hostRules;
}

function createSlots(
  input: StartInput,
  { vpn, range, onDamage }: Pick<GroundOptions, 'onDamage'> & { vpn: VpnClient; range: Cidr },
): SlotPool {
  const { deps, owner, teardown } = input;
  const { networks, containers } = deps.engine;
  teardown.add('proxy', () => deps.proxy.closeAll());
  const slots = new SlotPool(
    {
      ...deps,
      networks,
      containers,
      vpn,
      listeners: deps.proxy,
      hostLinks: () => deps.firewall.links(),
      onDamage,
    },
    { ...owner, range, spare: deps.config.spareSlots },
  );
  undoWithEngine(input, 'slots', () => slots.close());
  return slots;
}

/** Who may speak with the algorithms of this node, for as long as they run. */
function createFamilies(
  { deps, life }: StartInput,
  { id: self }: NodeIdentity,
  vpn: VpnClient,
): TaskFamilies {
  const { vpnSubnet } = deps.config;
  const server = deps.coordinator.family;
  const families = new TaskFamilies({ ...deps, server, vpn, self, vpnSubnet }, life);
  deps.proxy.useFamilies(families);
  return families;
}

function listen(
  { deps, teardown, presence }: StartInput,
  { runs, families, keys }: Pick<DaemonParts, 'runs' | 'families' | 'keys'>,
): void {
  const listening = new AbortController();
  const { signal } = listening;
  // The socket stays until the runs have ended, so that others hear of their ends.
  teardown.add('socket', async () =>
    listening.abort(new V6Error('V6_INTERRUPTED', 'The node is stopping')),
  );
  teardown.add('runs', () => runs.stop(presence.nodeStop));
  deps.coordinator.events.listen(
    {
      onSync: () => {
        runs.requestSync();
        families.hint();
      },
      onNewTask: ({ id, parent_id: parent }) => {
        runs.requestSync(id);
        // Its nodes will call algorithms of the parent.
        families.hint({ task: id, parent });
      },
      onStatus: (change) => families.onStatus(change),
      onAddressChange: ({ node_id }) => families.onAddressChange(node_id),
      onKill: (kill) => runs.kill(kill),
    },
    signal,
  );
  void regularly(deps, SYNC_EVERY_MS, signal, () => runs.requestSync());
  if (keys !== undefined)
    void regularly(deps, OWN_KEY_EVERY_MS, signal, () => keys.checkOwn(signal));
}

/** At once, and then again and again. */
async function regularly(
  { clock }: Pick<DaemonDeps, 'clock'>,
  everyMs: number,
  signal: AbortSignal,
  work: () => void | Promise<void>,
): Promise<void> {
  try {
    for (;;) {
      await work();
      await clock.sleep(everyMs, signal);
    }
  } catch {
    // The node is stopping.
  }
}
