/** What a node holds at the portal. */
export interface HeldLease {
  readonly nodeId: number;
  readonly nodeName: string;
  /** Configurations: 1, or 2 where one that was replaced could not be ended; 0 for a node that had some, or may have none. */
  readonly configurations: number;
  readonly issuedAt: Date | undefined;
  readonly expiresAt: Date | undefined;
  readonly isOnline: boolean;
  readonly lastSeenAt: Date | null;
}

/**
 * `room`: one more fits. `replace`: the node's own one ends first. `reclaim`: that of a node which has been away for long ends
 * first. `busy`: the node's own one would have to end first while its tunnel carries a run; later. `full`: no.
 */
export type QuotaPlan = Room | { readonly kind: 'busy' } | { readonly kind: 'full' };

/** How one more configuration fits. */
export type Room =
  | { readonly kind: 'room' | 'replace' }
  | { readonly kind: 'reclaim'; readonly from: HeldLease };

export interface QuotaInput {
  /** Configurations at once; undefined: any number. */
  readonly limit: number | undefined;
  /** Of all nodes. */
  readonly leases: readonly HeldLease[];
  /** Who asks. */
  readonly nodeId: number;
  readonly now: Date;
  /** How long a node must have been away before its lease may go to another, ms. */
  readonly graceMs: number;
  /** Whether the tunnel of the node that asks is up and carries a run. */
  readonly isInUse: boolean;
}

/** Part of a life after which an end that is near counts for more than a run that is under way. */
const LAST_TENTH = 0.1;

/**
 * How a node gets its next configuration without the portal ending anybody's: at its limit eduVPN ends the account's oldest
 * one without a word. A lease whose end has passed does not count.
 */
export function planQuota(input: QuotaInput): QuotaPlan {
  const { limit, nodeId, now } = input;
  if (limit === undefined) return { kind: 'room' };
  const counting = input.leases.filter(
    ({ configurations, expiresAt }) =>
      configurations > 0 && (expiresAt === undefined || expiresAt > now),
  );
  const used = counting.reduce((sum, { configurations }) => sum + configurations, 0);
  if (used < limit) return { kind: 'room' };
  const own = counting.find((lease) => lease.nodeId === nodeId);
  if (own !== undefined && used <= limit)
    return { kind: input.isInUse && !isNearEnd(own, now) ? 'busy' : 'replace' };
  const from = counting
    .filter((lease) => lease.nodeId !== nodeId && isAway(lease, input))
    // A limit that was lowered: the portal would end one more all the same.
    .filter(({ configurations }) => used - configurations < limit)
    .toSorted((a, b) => awaySince(a) - awaySince(b))[0];
  return from === undefined ? { kind: 'full' } : { kind: 'reclaim', from };
}

function isNearEnd({ issuedAt, expiresAt }: HeldLease, now: Date): boolean {
  if (issuedAt === undefined || expiresAt === undefined) return false;
  return +expiresAt - +now < (+expiresAt - +issuedAt) * LAST_TENTH;
}

function isAway(lease: HeldLease, { now, graceMs }: QuotaInput): boolean {
  return !lease.isOnline && +now - awaySince(lease) > graceMs;
}

/** A node that has got a configuration and was never seen since may be about to start. */
const awaySince = ({ lastSeenAt, issuedAt }: HeldLease): number =>
  Math.max(lastSeenAt?.getTime() ?? 0, issuedAt?.getTime() ?? 0);
