import type { VpnService } from '../services/vpn.ts';
import type { VpnLease } from '../services/vpn-leases.ts';

/** A lease as the command line shows it; dates are ISO 8601. */
export interface ShownLease {
  readonly node: number;
  readonly name: string;
  readonly organization: number;
  readonly collaboration: number;
  /** `held`; `ended` by its date; `revoked`: none until it is allowed again; `none`: allowed again, nothing asked for yet. */
  readonly state: 'held' | 'ended' | 'revoked' | 'none';
  readonly online: boolean;
  /** Tunnel address while the node is online. */
  readonly ip: string | null;
  readonly profile: string | null;
  readonly issued_at: string | null;
  readonly expires_at: string | null;
  readonly revoked_at: string | null;
  readonly last_seen_at: string | null;
}

export interface ShownLeases {
  /** Configurations at once; null: any number. */
  readonly limit: number | null;
  /** Configurations that count against it. */
  readonly held: number;
  readonly leases: readonly ShownLease[];
}

/** Who holds what until when. Throws V6_PORTAL_UNREACHABLE where the limit has to be found out, V6_DATABASE. */
export async function showLeases(
  vpn: Pick<VpnService, 'leases' | 'limit'>,
  now: Date,
): Promise<ShownLeases> {
  const leases = await vpn.leases();
  const shown = leases.map((lease) => toShown(lease, now));
  const held = leases.filter((lease) => stateOf(lease, now) === 'held');
  return {
    limit: (await vpn.limit()) ?? null,
    held: held.reduce((sum, { configurations }) => sum + configurations, 0),
    leases: shown,
  };
}

function toShown(lease: VpnLease, now: Date): ShownLease {
  return {
    node: lease.nodeId,
    name: lease.nodeName,
    organization: lease.organizationId,
    collaboration: lease.collaborationId,
    state: stateOf(lease, now),
    online: lease.isOnline,
    ip: lease.ip,
    profile: lease.profile,
    issued_at: lease.issuedAt?.toISOString() ?? null,
    expires_at: lease.expiresAt?.toISOString() ?? null,
    revoked_at: lease.revokedAt?.toISOString() ?? null,
    last_seen_at: lease.lastSeenAt?.toISOString() ?? null,
  };
}

function stateOf(lease: VpnLease, now: Date): ShownLease['state'] {
  if (lease.revokedAt !== undefined) return 'revoked';
  if (lease.configurations === 0) return 'none';
  return lease.expiresAt !== undefined && lease.expiresAt <= now ? 'ended' : 'held';
}
