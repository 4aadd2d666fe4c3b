import type { Context } from '../../core/context.ts';
import type { Engine } from '../../core/engine/engine.ts';
import { V6Error } from '../../core/errors.ts';
import { LABEL, names, parseScope, type Scope } from '../../core/labels.ts';
import type { HostFiles } from '../interfaces/host-files.ts';
import { findDaemon, STOP_TIMEOUT_SECONDS } from './daemon-container.ts';
import { type LeftoverDeps, removeLeftovers, runAll } from './leftovers.ts';

export interface StopDeps extends LeftoverDeps {
  readonly engine: Pick<Engine, 'containers' | 'networks'>;
  readonly files: Pick<HostFiles, 'isThere' | 'removeFolder' | 'removeEmptyFolders'>;
}

/** Of a daemon that was asked to end: done, or ended by the signal after it was done. */
const CLEAN_ENDS = new Set([0, 130, 143]);

export interface StoppedNode {
  readonly name: string;
  readonly scope: string;
  /** False when the daemon had ended before, or was killed because it took too long: then we undid its work. */
  readonly isClean: boolean;
  /** What a daemon that did not end by itself had left, and we removed. */
  readonly removed: {
    readonly containers: readonly string[];
    readonly networks: readonly string[];
  };
  /** What stays on purpose. */
  readonly remains: {
    readonly dataDir: string;
    /** True when a client config is stored: the next start connects with it, and the portal keeps the node's lease. */
    readonly hasCredential: boolean;
  };
}

/**
 * Stops a node: its daemon ends its runs and undoes what it did, then its container goes; what a killed daemon left goes as
 * well. Data, configuration and the node's VPN lease stay. Throws V6_NODE_NOT_RUNNING when there is nothing to stop,
 * V6_ENGINE_*, and one error that lists what could not be removed.
 */
export async function stopNode(deps: StopDeps, context: Context): Promise<StoppedNode> {
  const { containers } = deps.engine;
  const name = names.node(context.name, context.scope);
  const before = await findDaemon(deps.engine, context);
  await containers.stop(name, STOP_TIMEOUT_SECONDS);
  const after = await containers.find(name);
  if (before !== undefined) await containers.remove(name);
  const removed = await removeLeftovers(deps, context);
  const isNothing = removed.containers.length + removed.networks.length === 0;
  if (before === undefined && isNothing) throw notRunning(context);
  const isClean = before?.state === 'running' && CLEAN_ENDS.has(after?.exitCode ?? 1) && isNothing;
  // Killed in the last moment: only the rules may be left, and they have no labels.
  if (!isClean && isNothing) await deps.undoHostRules?.(context);
  await removeRunFolder(deps.files, context.runDir);
  return {
    name: context.name,
    scope: context.scope,
    isClean,
    removed,
    remains: {
      dataDir: context.dataDir,
      hasCredential: await deps.files.isThere(`${context.dataDir}/vpn/vpn-config.ovpn.conf`),
    },
  };
}

export interface ListedNode {
  readonly name: string;
  readonly scope: Scope;
}

/** Every node with a container on this machine, running or left behind, by its labels; those of demos too. */
export async function listNodes(
  engine: Pick<Engine, 'containers'>,
): Promise<readonly ListedNode[]> {
  const found = await engine.containers.list({ [LABEL.kind]: 'node' });
  return found.flatMap(({ labels }) => {
    const scope = parseScope(labels[LABEL.scope] ?? '');
    const name = labels[LABEL.node];
    return scope === undefined || name === undefined ? [] : [{ name, scope }];
  });
}

/** Stops all of them, whatever becomes of one. Throws V6_NODE_NOT_RUNNING when there are none. */
export async function stopNodes(
  deps: StopDeps,
  contexts: readonly Context[],
): Promise<readonly StoppedNode[]> {
  if (contexts.length === 0) {
    throw new V6Error('V6_NODE_NOT_RUNNING', 'No node runs on this machine', {
      hints: ['Nodes of a demo are stopped by: v6 demo down'],
    });
  }
  const stopped: StoppedNode[] = [];
  await runAll(
    contexts.map((context) => [
      `node ${context.name}`,
      async () => {
        stopped.push(await stopNode(deps, context));
      },
    ]),
    'Not every node could be stopped',
  );
  return stopped;
}

/** With its parents as far as no other node uses them: `/run/v6` and the scope's folder are ours. */
export async function removeRunFolder(
  files: Pick<HostFiles, 'removeFolder' | 'removeEmptyFolders'>,
  runDir: string,
): Promise<void> {
  await files.removeFolder(runDir);
  const scopeFolder = runDir.slice(0, runDir.lastIndexOf('/'));
  await files.removeEmptyFolders([scopeFolder.slice(0, scopeFolder.lastIndexOf('/')), scopeFolder]);
}

function notRunning({ name, scope }: Context): V6Error {
  return new V6Error('V6_NODE_NOT_RUNNING', `The node ${name} (${scope}) is not running`, {
    hints: ['See which nodes run: docker ps --filter label=v6.kind=node'],
  });
}
