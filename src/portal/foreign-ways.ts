import path from 'node:path';
import { addressAt } from '../core/net/ipv4.ts';
import type { PortalFiles } from './interfaces/files.ts';
import type { Lease } from './interfaces/store.ts';
import type { VpnSession } from './interfaces/vpn-server.ts';
import { renderClientEntry } from './server-config.ts';
import { type EmbeddedPortalSettings, nodeOffsets, type PortalPaths } from './settings.ts';

/** Owners whose configuration ends so that one more of `owner` stays within the limit: those that were made first. */
export function beyondLimit(leases: readonly Lease[], owner: string, limit: number): string[] {
  const others = leases
    .filter((lease) => lease.certificate !== undefined && lease.owner !== owner)
    .toSorted((a, b) => +(a.certificate?.issuedAt ?? 0) - +(b.certificate?.issuedAt ?? 0));
  return others.slice(0, Math.max(0, others.length - limit + 1)).map((lease) => lease.owner);
}

interface ChangeDeps {
  readonly files: Pick<PortalFiles, 'write'>;
  readonly paths: Pick<PortalPaths, 'clientConfigs'>;
  readonly settings: Pick<EmbeddedPortalSettings, 'subnet'>;
}

/** Gives whoever is connected another address for the next time: its own one and one of the range's other half in turn. */
export function createAddressChanges({ files, paths, settings: { subnet } }: ChangeDeps) {
  const written = new Map<string, string>();
  const { first, last } = nodeOffsets(subnet);
  const half = Math.floor((last - first + 1) / 2);
  return async (leases: readonly Lease[], sessions: readonly VpnSession[]): Promise<void> => {
    for (const { commonName, tunnelAddress } of sessions) {
      const lease = leases.find(({ certificate }) => certificate?.commonName === commonName);
      if (lease === undefined || tunnelAddress === '') continue;
      const isOwn = addressAt(subnet, lease.offset) === tunnelAddress;
      const text = renderClientEntry(subnet, isOwn ? lease.offset + half : lease.offset);
      if (written.get(commonName) === text) continue;
      await files.write(path.join(paths.clientConfigs, commonName), text);
      written.set(commonName, text);
    }
  };
}
