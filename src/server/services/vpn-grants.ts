import { seal, unseal } from '../auth/sealed.ts';
import type { PortalTokens } from '../interfaces/portal-connector.ts';
import type { VpnGrantRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';

/** A grant with readable tokens. */
export interface Grant {
  readonly nodeId: number;
  readonly current: PortalTokens | undefined;
  readonly previous: PortalTokens | undefined;
  readonly profile: string | undefined;
  readonly issuedAt: Date | undefined;
  readonly expiresAt: Date | undefined;
  /** The node gets no VPN until it is allowed again. */
  readonly revokedAt: Date | undefined;
}

/** A node of which nothing is stored. */
export const noGrant = (nodeId: number): Grant => ({
  nodeId,
  current: undefined,
  previous: undefined,
  profile: undefined,
  issuedAt: undefined,
  expiresAt: undefined,
  revokedAt: undefined,
});

/** Grants by node. */
export interface Grants {
  find(nodeId: number): Promise<Grant | undefined>;
  /** All but `revokedAt`. */
  save(grant: Grant): Promise<void>;
  setRevoked(nodeId: number, at: Date | undefined): Promise<void>;
}

/** Reads and writes grants; what is stored is encrypted with the key (32 bytes). */
export function grantsOf({ store, key }: { readonly store: Store; readonly key: Buffer }): Grants {
  return {
    find: async (nodeId) => {
      const record = await store.vpnGrants.find(nodeId);
      return (
        record && {
          nodeId,
          current: openTokens(key, nodeId, record.current),
          previous: openTokens(key, nodeId, record.previous),
          profile: record.profile ?? undefined,
          issuedAt: record.issuedAt ?? undefined,
          expiresAt: record.expiresAt ?? undefined,
          revokedAt: record.revokedAt ?? undefined,
        }
      );
    },
    save: async (grant) => {
      const record: Omit<VpnGrantRecord, 'revokedAt'> = {
        nodeId: grant.nodeId,
        current: sealTokens(key, grant.nodeId, grant.current),
        previous: sealTokens(key, grant.nodeId, grant.previous),
        profile: grant.profile ?? null,
        issuedAt: grant.issuedAt ?? null,
        expiresAt: grant.expiresAt ?? null,
      };
      await store.vpnGrants.save(record);
    },
    setRevoked: (nodeId, at) => store.vpnGrants.setRevoked(nodeId, at ?? null),
  };
}

function sealTokens(key: Buffer, nodeId: number, tokens: PortalTokens | undefined): string | null {
  return tokens === undefined ? null : seal(key, String(nodeId), JSON.stringify(tokens));
}

/** Undefined for what cannot be read any more: the node then gets a new authorization. */
function openTokens(key: Buffer, nodeId: number, sealed: string | null): PortalTokens | undefined {
  const text = sealed === null ? undefined : unseal(key, String(nodeId), sealed);
  if (text === undefined) return undefined;
  const { accessToken, refreshToken, accessExpiresAt } = JSON.parse(text) as {
    accessToken: string;
    refreshToken: string;
    accessExpiresAt: string;
  };
  return { accessToken, refreshToken, accessExpiresAt: new Date(accessExpiresAt) };
}
