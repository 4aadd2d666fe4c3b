import type { Clock } from '../../core/clock.ts';
import type { NodeConfig } from '../../core/config/node-config.ts';
import { parseNodeConfig } from '../../core/config/node-config-parser.ts';
import type { Context } from '../../core/context.ts';
import type { ContainerState, Engine } from '../../core/engine/engine.ts';
import { isV6Error, toV6Error, V6Error } from '../../core/errors.ts';
import { names } from '../../core/labels.ts';
import { DAEMON_SOCKET, type Verdict } from '../../core/protocol/daemon.ts';
import { checkSocketPath } from '../control.ts';
import type { DaemonClient } from '../interfaces/daemon-client.ts';
import type { HostFiles } from '../interfaces/host-files.ts';
import { TRYING_VERDICT } from '../vpn/verdict.ts';
import {
  type DaemonContainerInput,
  findDaemon,
  foldersOf,
  planDaemonContainer,
  STOP_TIMEOUT_SECONDS,
} from './daemon-container.ts';
import { daemonFailure, daemonWarnings } from './daemon-end.ts';
import { type LeftoverDeps, removeLeftovers } from './leftovers.ts';

export interface StartDeps extends LeftoverDeps {
  readonly engine: Pick<Engine, 'containers' | 'networks' | 'images'>;
  readonly files: HostFiles;
  /** The daemon whose control socket lies in this folder. */
  readonly daemonIn: (runDir: string, name: string) => DaemonClient;
  readonly clock: Clock;
}

export interface StartInput extends DaemonContainerInput {
  /** How long to wait for the ladder's verdict, in ms; default 60 s. */
  readonly verdictLimitMs?: number;
  readonly signal?: AbortSignal;
}

export interface StartedNode {
  readonly name: string;
  readonly scope: string;
  readonly container: string;
  readonly vpn: Verdict;
  /** What the daemon warned of beside the VPN, for example a `vpn_subnet` that covers a network of the host. */
  readonly warnings: readonly NonNullable<Verdict['warning']>[];
  readonly socket: string;
}

const VERDICT_LIMIT_MS = 60_000;
const POLL_MS = 150;

/**
 * The configuration of a node, checked. Throws V6_CONFIG_NOT_FOUND, V6_CONFIG_SYNTAX, V6_CONFIG_INVALID, V6_CONFIG_SUBNET,
 * V6_NET_OVERLAP.
 */
export async function readNodeConfig(files: HostFiles, context: Context): Promise<NodeConfig> {
  return parseNodeConfig(await files.readConfig(context.configFile), context.configFile);
}

/**
 * Starts the daemon of a node whose configuration was checked, and waits for its verdict about the VPN. A VPN that does not
 * come up is no failure. Throws V6_NODE_ALREADY_RUNNING, V6_IMAGE_NOT_FOUND, V6_ENGINE_*, V6_CONFIG_WRITE, V6_INTERRUPTED, and
 * whatever ended a daemon that ended at once. Nothing is left after a failure.
 */
export async function startNode(deps: StartDeps, input: StartInput): Promise<StartedNode> {
  const { context } = input;
  const socket = `${context.runDir}/${DAEMON_SOCKET}`;
  checkSocketPath(socket);
  await refuseMissingImages(deps, input);
  await makeRoom(deps, context);
  const made: string[] = [];
  try {
    for (const folder of foldersOf(context)) made.push(...(await deps.files.ensureFolder(folder)));
    const id = await deps.engine.containers.create(planDaemonContainer(input));
    await deps.engine.containers.start(id);
    const vpn = await waitForVerdict(deps, input);
    const warnings = daemonWarnings(await deps.engine.containers.logs(id, { tail: 200 }), vpn);
    const container = names.node(context.name, context.scope);
    return { name: context.name, scope: context.scope, container, vpn, warnings, socket };
  } catch (thrown) {
    await undo(deps, context, made);
    throw input.signal?.aborted
      ? new V6Error('V6_INTERRUPTED', `The start of the node ${context.name} was interrupted`)
      : toV6Error(thrown);
  }
}

async function refuseMissingImages({ engine }: StartDeps, { images }: StartInput): Promise<void> {
  for (const reference of [images.runtime, images.vpn]) {
    if ((await engine.images.find(reference)) !== undefined) continue;
    throw new V6Error('V6_IMAGE_NOT_FOUND', `The image ${reference} is not on this machine`, {
      hints: ['Build it: v6 images build'],
      details: { image: reference },
    });
  }
}

/** Nothing of that name may be in the way: a daemon that runs is left alone, one that ended goes. */
async function makeRoom(deps: StartDeps, context: Context): Promise<void> {
  const name = names.node(context.name, context.scope);
  const found = await findDaemon(deps.engine, context);
  if (found !== undefined && isAlive(found)) {
    throw new V6Error('V6_NODE_ALREADY_RUNNING', `The node ${context.name} is already running`, {
      hints: [
        `See what it does: v6 node status --name ${context.name}`,
        `Stop it first: v6 node stop --name ${context.name}`,
      ],
      details: { container: name },
    });
  }
  // Only the daemon's container: what else a crash left, the new daemon takes over or removes.
  if (found !== undefined) await deps.engine.containers.remove(found.id);
}

function isAlive({ state }: ContainerState): boolean {
  return state === 'running' || state === 'restarting' || state === 'paused';
}

async function waitForVerdict(deps: StartDeps, input: StartInput): Promise<Verdict> {
  const { clock, engine } = deps;
  const { context, signal } = input;
  const container = names.node(context.name, context.scope);
  const daemon = deps.daemonIn(context.runDir, context.name);
  const endsAt = clock.now().getTime() + (input.verdictLimitMs ?? VERDICT_LIMIT_MS);
  let last: Verdict = TRYING_VERDICT;
  for (;;) {
    signal?.throwIfAborted();
    const state = await engine.containers.find(container);
    if (state === undefined) {
      throw new V6Error(
        'V6_NODE_NOT_READY',
        `The container ${container} was removed while it started`,
      );
    }
    if (hasEnded(state)) throw await failureOf(deps, context, state);
    const leftMs = endsAt - clock.now().getTime();
    if (leftMs <= 0) return last;
    try {
      // Short waits: a daemon that ends must be noticed while we wait for its verdict.
      last = await daemon.verdict(Math.min(leftMs, 1000), signal);
      if (last.state !== 'trying') return last;
    } catch (error) {
      if (!isV6Error(error, 'V6_NODE_NOT_RUNNING', 'V6_NODE_NOT_READY')) throw error;
      await clock.sleep(Math.min(POLL_MS, leftMs), signal);
    }
  }
}

/** The engine starts a daemon that ended once more; the first end is what counts. */
function hasEnded(state: ContainerState): boolean {
  return !isAlive(state) || state.state === 'restarting' || state.finishedAt !== undefined;
}

async function failureOf(
  { engine }: StartDeps,
  { name }: Context,
  state: ContainerState,
): Promise<V6Error> {
  const log = await engine.containers.logs(state.id, { tail: 200 });
  const { exitCode, oomKilled, error: engineError } = state;
  return daemonFailure({ name, exitCode, oomKilled, engineError, log });
}

/** Best effort: the failure that led here is the one to report. */
async function undo(deps: StartDeps, context: Context, made: readonly string[]): Promise<void> {
  const { containers } = deps.engine;
  const name = names.node(context.name, context.scope);
  // Politely first: a second life of the daemon may have begun and undoes its own work.
  await containers.stop(name, STOP_TIMEOUT_SECONDS).catch(() => undefined);
  await removeLeftovers(deps, context).catch(() => undefined);
  if (made.includes(context.runDir)) {
    await deps.files.removeFolder(context.runDir).catch(() => undefined);
  }
  await deps.files.removeEmptyFolders(made);
}
