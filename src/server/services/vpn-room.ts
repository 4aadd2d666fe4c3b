import type { Clock } from '../../core/clock.ts';
import { V6Error } from '../../core/errors.ts';
import type { PortalConnector } from '../interfaces/portal-connector.ts';
import type { NodeRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';
import { listLeases } from './vpn-leases.ts';
import { planQuota, type Room } from './vpn-quota.ts';

export interface RoomDeps {
  readonly store: Store;
  readonly portal: Pick<PortalConnector, 'limit'>;
  readonly clock: Pick<Clock, 'now'>;
  /** How long a node must have been away before another may have its lease, ms; default a week. */
  readonly leaseGraceMs?: number;
}

const WEEK_MS = 7 * 24 * 3_600_000;

/** Asked before the portal is asked for anything. Throws V6_PORTAL_QUOTA. */
export async function planRoom(deps: RoomDeps, node: NodeRecord): Promise<Room> {
  const { portal, store, clock, leaseGraceMs: graceMs = WEEK_MS } = deps;
  const limit = await portal.limit();
  if (limit === undefined) return { kind: 'room' };
  const plan = planQuota({
    limit,
    leases: await listLeases(store),
    nodeId: node.id,
    now: clock.now(),
    graceMs,
    isInUse: await carriesRun(store, node),
  });
  if (plan.kind === 'full') throw portalFull(limit);
  if (plan.kind === 'busy') throw tunnelInUse(limit);
  return plan;
}

async function carriesRun(store: Store, node: NodeRecord): Promise<boolean> {
  if (!node.isOnline || node.ip === null) return false;
  const { organizationId, collaborationId } = node;
  const { rows } = await store.runs.list(
    { organizationId, collaborationIds: [collaborationId], isOpen: true, status: 'active' },
    { offset: 0, limit: 1, sort: [] },
  );
  return rows.length > 0;
}

const QUOTA_HINTS = [
  'Raise Api.maxActiveConfigurations in the portal to more than the number of nodes, and set max_configurations in vpn_server to the same number.',
  'Or take the VPN from a node that does not need it: v6 server vpn leases, v6 server vpn revoke NODE',
];

/** The portal's own setting, and ours that must say the same. */
const QUOTA_KEYS = ['Api.maxActiveConfigurations', 'max_configurations'];

function portalFull(limit: number): V6Error {
  return new V6Error(
    'V6_PORTAL_QUOTA',
    `The VPN portal lets the account have ${limit} configurations at once (Api.maxActiveConfigurations), and nodes hold them all; one more would end one of theirs`,
    { hints: QUOTA_HINTS, details: { keys: QUOTA_KEYS, limit } },
  );
}

function tunnelInUse(limit: number): V6Error {
  return new V6Error(
    'V6_PORTAL_QUOTA',
    `The VPN portal has no room for a second configuration (${limit} at once), and the present one of this node carries a run`,
    {
      hints: [
        'The node asks again when no run is active, or shortly before its end.',
        ...QUOTA_HINTS,
      ],
      details: { keys: QUOTA_KEYS, limit },
    },
  );
}
