import type { Clock } from '../../core/clock.ts';
import { isV6Error, V6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type {
  IssuedConfig,
  PortalConnector,
  PortalTokens,
} from '../interfaces/portal-connector.ts';
import type { NodeRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';
import { endConfigs, endGrant, endQuietly, isFresh } from './vpn-end.ts';
import { type Grant, type Grants, noGrant } from './vpn-grants.ts';
import type { HeldLease, Room } from './vpn-quota.ts';
import { planRoom } from './vpn-room.ts';

export interface IssueDeps {
  readonly store: Store;
  readonly portal: PortalConnector;
  readonly clock: Pick<Clock, 'now'>;
  readonly logger: Logger;
  readonly leaseGraceMs?: number;
}

/** What the portal gave, and whose lease ended for it. */
export interface Issued {
  readonly config: IssuedConfig;
  readonly reclaimed: { readonly node: number; readonly name: string } | undefined;
}

/** The node's grant. Throws V6_VPN_REVOKED. */
export async function refuseRevoked(grants: Grants, node: NodeRecord): Promise<Grant | undefined> {
  const grant = await grants.find(node.id);
  if (grant?.revokedAt === undefined) return grant;
  throw new V6Error(
    'V6_VPN_REVOKED',
    `An administrator of the server took the VPN from the node ${node.name} at ${grant.revokedAt.toISOString()}`,
    {
      hints: [`To allow it again, at the server: v6 server vpn allow ${JSON.stringify(node.name)}`],
    },
  );
}

/** A config on a new authorization; the one before it is ended afterwards. Throws V6_PORTAL_*, V6_VPN_REVOKED. */
export async function issueNew(deps: IssueDeps, grants: Grants, node: NodeRecord): Promise<Issued> {
  const { portal, clock } = deps;
  const before = await withoutLeftover(deps, grants, node);
  const room = await planRoom(deps, node);
  const tokens = await portal.authorize();
  const old = before?.current;
  // With a date, so that a node which was never online does not count as one that has been away for ever.
  const asked = { current: tokens, previous: old, issuedAt: clock.now() };
  const pending: Grant = { ...noGrant(node.id), ...asked };
  // Stored before it is used: whatever happens next, both authorizations can be ended.
  await grants.save(pending);
  try {
    const profile = (await portal.findProfile(tokens)).id;
    await makeRoom(deps, grants, { room, old });
    const config = await connectWithRoom(deps, node, { tokens, old, profile });
    await refuseRevoked(grants, node);
    const issued = { ...pending, profile, issuedAt: clock.now(), expiresAt: config.expiresAt };
    await grants.save(issued);
    const isOver = old === undefined || room.kind === 'replace';
    await grants.save({
      ...issued,
      previous: isOver ? undefined : await endQuietly(deps, node, old),
    });
    return { config, reclaimed: room.kind === 'reclaim' ? toReclaimed(room.from) : undefined };
  } catch (error) {
    // The answer may have got lost on its way: what cannot be ended now counts, and is ended at the next request.
    const left = await endQuietly(deps, node, tokens);
    const known = before ?? noGrant(node.id);
    // It may end later than the old one, so no date says when it stops counting.
    await grants.save(
      left === undefined ? known : { ...known, previous: left, expiresAt: undefined },
    );
    throw error;
  }
}

/**
 * The node's grant without what a crash between connect and disconnect, or a portal that was away then, has left over. Where
 * the portal counts, nothing new comes before that has ended: throws as the connector does.
 */
async function withoutLeftover(
  deps: IssueDeps,
  grants: Grants,
  node: NodeRecord,
): Promise<Grant | undefined> {
  const grant = await grants.find(node.id);
  if (grant?.previous === undefined) return grant;
  if ((await deps.portal.limit()) === undefined) await endQuietly(deps, node, grant.previous);
  else await endConfigs(deps, grant.previous);
  const rest = { ...grant, previous: undefined };
  await grants.save(rest);
  return rest;
}

const toReclaimed = ({ nodeId, nodeName }: HeldLease) => ({ node: nodeId, name: nodeName });

/** Right before the new configuration: what failed before then has cost nobody anything. */
async function makeRoom(
  deps: IssueDeps,
  grants: Grants,
  { room, old }: { readonly room: Room; readonly old: PortalTokens | undefined },
): Promise<void> {
  if (room.kind === 'replace' && old !== undefined) await endConfigs(deps, old);
  if (room.kind !== 'reclaim') return;
  const { nodeId, lastSeenAt } = room.from;
  await endGrant(deps, grants, nodeId);
  await deps.store.vpnGrants.remove(nodeId);
  deps.logger.warn('The portal is full: the lease of a node that has been away goes to another', {
    node: nodeId,
    lastSeenAt: lastSeenAt?.toISOString() ?? null,
  });
}

/** A portal that has no room after all: the old one makes room, since the node that asks has no working tunnel. */
async function connectWithRoom(
  deps: IssueDeps,
  node: NodeRecord,
  use: {
    readonly tokens: PortalTokens;
    readonly old: PortalTokens | undefined;
    readonly profile: string;
  },
): Promise<IssuedConfig> {
  const { portal, logger } = deps;
  const input = { profile: use.profile, node: node.vpnId };
  try {
    return await portal.connect(use.tokens, input);
  } catch (error) {
    if (use.old === undefined || !isV6Error(error, 'V6_PORTAL_QUOTA')) throw error;
    logger.warn('The portal has no room: the old config of the node ends first', { node: node.id });
    await endConfigs(deps, use.old);
    return portal.connect(use.tokens, input);
  }
}

/** A config on the same authorization, or on a new one when that has ended. Throws as issueNew. */
export async function renew(deps: IssueDeps, grants: Grants, node: NodeRecord): Promise<Issued> {
  const grant = await grants.find(node.id);
  const now = deps.clock.now().getTime();
  const hasEnded = grant?.expiresAt !== undefined && grant.expiresAt.getTime() <= now;
  if (grant?.current === undefined || grant.profile === undefined || hasEnded)
    return issueNew(deps, grants, node);
  try {
    const tokens = await freshTokens(deps, grants, grant, grant.current);
    const input = { profile: grant.profile, node: node.vpnId };
    const config = await deps.portal.connect(tokens, input);
    const issuedAt = deps.clock.now();
    await grants.save({ ...grant, current: tokens, issuedAt, expiresAt: config.expiresAt });
    return { config, reclaimed: undefined };
  } catch (error) {
    if (!isV6Error(error, 'V6_PORTAL_TOKEN', 'V6_PORTAL_NO_PROFILE')) throw error;
    deps.logger.info('The authorization of the node has ended: asking for a new one', {
      node: node.id,
      code: error.code,
    });
    return issueNew(deps, grants, node);
  }
}

async function freshTokens(
  deps: IssueDeps,
  grants: Grants,
  grant: Grant,
  tokens: PortalTokens,
): Promise<PortalTokens> {
  if (isFresh(tokens, deps.clock)) return tokens;
  const fresh = await deps.portal.refresh(tokens);
  // The old refresh token is used up: stored before anything else can fail.
  await grants.save({ ...grant, current: fresh });
  return fresh;
}
