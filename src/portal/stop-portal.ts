import path from 'node:path';
import type { Context } from '../core/context.ts';
import { toV6Error, V6Error } from '../core/errors.ts';
import { LABEL, names } from '../core/labels.ts';
import type { PortalDeps } from './portal-deps.ts';

export interface StoppedPortal {
  /** Names of what was removed. */
  readonly removed: readonly string[];
  /** True when keys, leases and account are gone too. */
  readonly isDataRemoved: boolean;
  readonly dataDir: string;
}

/**
 * Removes the two containers, the network that was made for them, and their run folder. What is gone already is fine.
 * Every step is tried; failures come as one V6_ENGINE_REQUEST. Data stays unless it is to go.
 */
export async function stopPortal(
  deps: Pick<PortalDeps, 'engine' | 'files'>,
  options: { readonly context: Context; readonly removeData: boolean },
): Promise<StoppedPortal> {
  const { context } = options;
  const removed: string[] = [];
  const failures: V6Error[] = [];
  const attempt = async (step: () => Promise<void>): Promise<void> => {
    await step().catch((error: unknown) => failures.push(toV6Error(error)));
  };
  // The VPN server first: it tells its clients that it goes.
  for (const name of [names.vpnServer(context.scope), names.portal(context.scope)]) {
    await attempt(async () => {
      const container = await deps.engine.containers.find(name);
      if (container === undefined) return;
      await deps.engine.containers.stop(container.id, 5);
      await deps.engine.containers.remove(container.id);
      removed.push(name);
    });
  }
  await attempt(async () => {
    const network = await deps.engine.networks.find(names.uplink(context.scope, 'portal'));
    if (network?.labels[LABEL.scope] !== context.scope) return;
    await deps.engine.networks.remove(network.name);
    removed.push(network.name);
  });
  await attempt(() => deps.files.remove(context.runDir));
  // The scope's folder above it may hold the sockets of nodes.
  await attempt(() => deps.files.removeIfEmpty(path.dirname(context.runDir)));
  if (options.removeData) await attempt(() => deps.files.remove(context.dataDir));
  const [only, ...others] = failures;
  if (only !== undefined && others.length === 0) throw only;
  if (only !== undefined) {
    throw new V6Error(
      'V6_ENGINE_REQUEST',
      `Stopping the portal failed in ${failures.length} places: ${failures.map((f) => f.message).join('; ')}`,
      { hints: ['Run it again: v6 portal stop'], cause: new AggregateError(failures) },
    );
  }
  return { removed, isDataRemoved: options.removeData, dataDir: context.dataDir };
}
