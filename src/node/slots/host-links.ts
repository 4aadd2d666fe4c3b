import type { NetworkState } from '../../core/engine/engine.ts';

/** Names of the host's network devices; undefined: nothing can be told from them (see `HostFirewall.links`). */
export type HostLinks = () => Promise<ReadonlySet<string> | undefined>;

/**
 * Those of the networks whose bridge is not on the host. The engine lists such a network as whole, starts nothing in it, and mends
 * nothing before its next start.
 */
export async function bridgeless(
  networks: readonly NetworkState[],
  hostLinks: HostLinks,
): Promise<readonly NetworkState[]> {
  const links = await hostLinks();
  if (links === undefined) return [];
  return networks.filter(({ bridge }) => bridge !== undefined && !links.has(bridge));
}
