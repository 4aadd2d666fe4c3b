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
import { createAttempts } from './attempts.ts';
import { endConfigs, endGrant, endQuietly, isFresh } from './vpn-end.ts';
import { type Grant, type Grants, grantsOf, noGrant } from './vpn-grants.ts';
import { listLeases, type VpnLease } from './vpn-leases.ts';
import type { HeldLease } from './vpn-quota.ts';
import { planRoom, type Room } from './vpn-room.ts';

/** A client config, and whose lease had to end for it. */
export interface IssuedClientConfig {
  readonly text: string;
  readonly reclaimed: { readonly node: number; readonly name: string } | undefined;
}

/**
 * Client configs for nodes, out of one portal authorization per node: eduVPN's `/connect` first ends what the same
 * authorization held, so nodes that shared one would throw each other out.
 * Throws V6_PORTAL_* as the connector does, V6_PORTAL_QUOTA also where the portal would end another node's configuration,
 * V6_VPN_REVOKED, V6_REQUEST_RATE. Calls for one node follow one another; with a limit, all calls do.
 */
export interface VpnService {
  /** A new authorization and its config; the authorization before it is ended afterwards. */
  issue(node: NodeRecord): Promise<IssuedClientConfig>;
  /** A new keypair on the same authorization, whose end does not move; as `issue` when there is none any more. */
  renew(node: NodeRecord): Promise<IssuedClientConfig>;
  /** Ends what the portal holds for the node. Nothing held is fine. */
  release(nodeId: number): Promise<void>;
  /** As release, and the node gets nothing more until it is allowed again. */
  revoke(nodeId: number): Promise<void>;
  /** Takes a revocation back; none is fine. */
  allow(nodeId: number): Promise<void>;
  leases(): Promise<readonly VpnLease[]>;
  /** Configurations at once; undefined: any number. */
  limit(): Promise<number | undefined>;
}

export interface VpnServiceDeps {
  readonly store: Store;
  readonly portal: PortalConnector;
  readonly clock: Clock;
  readonly logger: Logger;
  /** 32 bytes; encrypts the portal's tokens in the database. */
  readonly key: Buffer;
  /** How long a node must have been away before another may have its lease, ms; default a week. */
  readonly leaseGraceMs?: number;
}

/** A repeated request within this time is a retry of one whose answer got lost. */
const SAME_ANSWER_MS = 5000;
const PER_NODE = { max: 10, windowMs: 60_000 } as const;
export function createVpnService(deps: VpnServiceDeps): VpnService {
  const answers = new Map<
    number,
    { readonly kind: string; readonly answer: IssuedClientConfig; readonly at: number }
  >();
  const attempts = createAttempts(PER_NODE, deps.clock);

  /** Also across replicas: two of them would end each other's authorization, or take the same last place. */
  const inTurn = async <T>(nodeId: number, work: () => Promise<T>): Promise<T> => {
    const isLimited = (await deps.portal.limit()) !== undefined;
    return deps.store.exclusively(isLimited ? 'vpn of all nodes' : `vpn of node ${nodeId}`, work);
  };

  const answering = (kind: 'new' | 'renewed', node: NodeRecord, work: () => Promise<Issued>) =>
    inTurn(node.id, async () => {
      await refuseRevoked(grants, node);
      const now = deps.clock.now().getTime();
      // They hold private keys: none stays longer than it must.
      for (const [id, { at }] of answers) if (now - at >= SAME_ANSWER_MS) answers.delete(id);
      const last = answers.get(node.id);
      if (last?.kind === kind) return last.answer;
      if (!attempts.take(String(node.id))) {
        throw new V6Error('V6_REQUEST_RATE', 'This node asked for too many client configs', {
          hints: ['Wait a minute.'],
        });
      }
      const { config, reclaimed } = await work();
      const answer = { text: config.text, reclaimed };
      answers.set(node.id, { kind, answer, at: deps.clock.now().getTime() });
      deps.logger.info('Client config issued', {
        kind,
        ...fieldsOf(node),
        expiresAt: config.expiresAt?.toISOString() ?? null,
      });
      return answer;
    });

  const grants = grantsOf(deps);
  const end = async (nodeId: number, isRevoked: boolean): Promise<void> => {
    answers.delete(nodeId);
    await endGrant(deps, grants, nodeId);
    if (isRevoked) await grants.save(noGrant(nodeId));
    else await deps.store.vpnGrants.remove(nodeId);
  };
  return {
    issue: (node) => answering('new', node, () => issueNew(deps, grants, node)),
    renew: (node) => answering('renewed', node, () => renew(deps, grants, node)),
    release: (nodeId) =>
      inTurn(nodeId, async () => {
        await end(nodeId, (await grants.find(nodeId))?.revokedAt !== undefined);
        deps.logger.info('VPN lease given back', { node: nodeId });
      }),
    revoke: (nodeId) =>
      inTurn(nodeId, async () => {
        // Marked first: a server that is just giving one out looks once more before it does.
        await grants.setRevoked(nodeId, deps.clock.now());
        await end(nodeId, true);
        deps.logger.info('VPN lease revoked', { node: nodeId });
      }),
    allow: (nodeId) =>
      inTurn(nodeId, async () => {
        if ((await grants.find(nodeId))?.revokedAt === undefined) return;
        await grants.setRevoked(nodeId, undefined);
        deps.logger.info('VPN allowed again', { node: nodeId });
      }),
    leases: () => listLeases(deps.store),
    limit: () => deps.portal.limit(),
  };
}

interface Issued {
  readonly config: IssuedConfig;
  readonly reclaimed: IssuedClientConfig['reclaimed'];
}

const fieldsOf = (node: NodeRecord) => ({
  node: node.id,
  organization: node.organizationId,
  collaboration: node.collaborationId,
});

async function refuseRevoked(grants: Grants, node: NodeRecord): Promise<void> {
  const grant = await grants.find(node.id);
  if (grant?.revokedAt === undefined) return;
  throw new V6Error(
    'V6_VPN_REVOKED',
    `An administrator of the server took the VPN from the node ${node.name} at ${grant.revokedAt.toISOString()}`,
    {
      hints: [`To allow it again, at the server: v6 server vpn allow ${JSON.stringify(node.name)}`],
    },
  );
}

async function issueNew(deps: VpnServiceDeps, grants: Grants, node: NodeRecord): Promise<Issued> {
  const { portal, clock } = deps;
  const before = await grants.find(node.id);
  // Left over from a crash between connect and disconnect.
  if (before?.previous !== undefined) {
    await endQuietly(deps, node, before.previous);
    await grants.save({ ...before, previous: undefined });
  }
  const room = await planRoom(deps, node);
  const tokens = await portal.authorize();
  const old = before?.current;
  const pending: Grant = { ...noGrant(node.id), current: tokens, previous: old };
  // Stored before it is used: whatever happens next, both authorizations can be ended.
  await grants.save(pending);
  try {
    const profile = (await portal.findProfile(tokens)).id;
    await makeRoom(deps, grants, { room, old });
    const config = await connectWithRoom(deps, node, { tokens, old, profile });
    await refuseRevoked(grants, node);
    const issued = { ...pending, profile, issuedAt: clock.now(), expiresAt: config.expiresAt };
    await grants.save(issued);
    if (old !== undefined && room.kind !== 'replace') await endQuietly(deps, node, old);
    await grants.save({ ...issued, previous: undefined });
    return { config, reclaimed: room.kind === 'reclaim' ? toReclaimed(room.from) : undefined };
  } catch (error) {
    await endQuietly(deps, node, tokens);
    await grants.save(before ?? noGrant(node.id));
    throw error;
  }
}

const toReclaimed = ({ nodeId, nodeName }: HeldLease) => ({ node: nodeId, name: nodeName });

/** Right before the new configuration: what failed before then has cost nobody anything. */
async function makeRoom(
  deps: VpnServiceDeps,
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
  deps: VpnServiceDeps,
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

async function renew(deps: VpnServiceDeps, grants: Grants, node: NodeRecord): Promise<Issued> {
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
  deps: VpnServiceDeps,
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
