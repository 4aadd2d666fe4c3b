import type { Context } from '../../core/context.ts';
import type { Engine } from '../../core/engine/engine.ts';
import { V6Error } from '../../core/errors.ts';
import { LABEL } from '../../core/labels.ts';
import type { NetworkUndo } from '../../core/protocol/node-network.ts';
import type { DaemonClient } from '../interfaces/daemon-client.ts';
import type { HostFiles } from '../interfaces/host-files.ts';
import type { HostFirewall } from '../interfaces/host-firewall.ts';
import { STOP_TIMEOUT_SECONDS, scopeFlag } from './daemon-container.ts';
import { removeLeftovers } from './leftovers.ts';
import { doesRun } from './network-plan.ts';
import { removeRunFolder } from './stop-node.ts';

export interface NetworkUndoDeps {
  readonly engine: Pick<Engine, 'containers' | 'networks'>;
  readonly firewall: Pick<HostFirewall, 'planUndo' | 'undo' | 'close'>;
  readonly files: Pick<HostFiles, 'removeFolder' | 'removeEmptyFolders'>;
  readonly daemon: Pick<DaemonClient, 'status'>;
}

type Node = Pick<Context, 'name' | 'scope' | 'runDir'>;

/** What `undoNetwork` would remove. Changes nothing. Throws V6_FIREWALL_READ, V6_ENGINE_*. */
export async function planNetworkUndo(deps: NetworkUndoDeps, node: Node): Promise<NetworkUndo> {
  // Before the firewall is asked: it works in a container that may carry the node's name.
  const things = await thingsOf(deps.engine, node);
  const running = things.hasDaemon || (await doesRun(deps.daemon));
  try {
    const { backend, changes, conflicts } = await deps.firewall.planUndo(ownerOf(node));
    return report(node, running, { backend, changes, conflicts, ...things, isDryRun: true });
  } finally {
    await deps.firewall.close();
  }
}

/**
 * Removes all of a node from its host: its daemon where one runs (only with `isForced`), its containers and networks, its
 * rules, its run folder. What other nodes have stays, and so do configuration and data. Needs nothing of the node but its name,
 * so that it works after any crash; nothing there is fine. Throws V6_NODE_ALREADY_RUNNING, V6_FIREWALL_*, V6_ENGINE_*.
 */
export async function undoNetwork(
  deps: NetworkUndoDeps,
  node: Node,
  { isForced }: { readonly isForced: boolean },
): Promise<NetworkUndo> {
  const things = await thingsOf(deps.engine, node);
  const running = things.hasDaemon || (await doesRun(deps.daemon));
  if (running && !isForced) throw stillRunning(node);
  // A daemon that is asked to end ends its runs and tells the server; what it leaves is removed below.
  for (const name of things.daemons) await deps.engine.containers.stop(name, STOP_TIMEOUT_SECONDS);
  // The rules go last: as long as a container of ours lives it is kept away from the host.
  await removeLeftovers({ engine: deps.engine }, node);
  try {
    const { backend, changes, conflicts } = await deps.firewall.undo(ownerOf(node));
    await removeRunFolder(deps.files, node.runDir);
    return report(node, running, { backend, changes, conflicts, ...things, isDryRun: false });
  } finally {
    await deps.firewall.close();
  }
}

interface Things {
  readonly daemons: readonly string[];
  /** The engine starts a daemon again that was killed: between two of them nobody answers. */
  readonly hasDaemon: boolean;
  readonly containers: readonly string[];
  readonly networks: readonly string[];
}

async function thingsOf(engine: NetworkUndoDeps['engine'], node: Node): Promise<Things> {
  const labels = { [LABEL.scope]: node.scope, [LABEL.node]: node.name };
  const containers = await engine.containers.list(labels);
  const networks = await engine.networks.list(labels);
  const daemons = containers.filter((it) => it.labels[LABEL.kind] === 'node');
  return {
    daemons: daemons.map(({ name }) => name),
    hasDaemon: daemons.some(({ state }) => state === 'running' || state === 'restarting'),
    containers: containers.map(({ name }) => name).toSorted(),
    networks: networks.map(({ name }) => name).toSorted(),
  };
}

function report(
  { name, scope }: Node,
  running: boolean,
  found: Things & Pick<NetworkUndo, 'backend' | 'changes' | 'conflicts' | 'isDryRun'>,
): NetworkUndo {
  const { isDryRun, backend, changes, conflicts, containers, networks } = found;
  const removed = changes.filter(({ action }) => action !== 'keep');
  return {
    node: { name, scope, running },
    isDryRun,
    backend,
    isEmpty: removed.length + containers.length + networks.length === 0,
    changes,
    conflicts,
    containers,
    networks,
  };
}

const ownerOf = ({ name, scope }: Node): string => `${scope}/${name}`;

function stillRunning({ name, scope }: Node): V6Error {
  return new V6Error(
    'V6_NODE_ALREADY_RUNNING',
    `The node ${name} (${scope}) runs: it needs what is on this host, and would put it back`,
    {
      hints: [
        `Stop it first: v6 node stop --name ${name} ${scopeFlag(scope).join(' ')}`,
        'Or give --force: the node is stopped, and its runs end.',
      ],
    },
  );
}
