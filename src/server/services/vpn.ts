import type { Clock } from '../../core/clock.ts';
import { isV6Error, V6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { PortalConnector } from '../interfaces/portal-connector.ts';
import type { NodeRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';
import { createAttempts } from './attempts.ts';
import { endGrant } from './vpn-end.ts';
import { grantsOf, noGrant } from './vpn-grants.ts';
import { type Issued, issueNew, refuseRevoked, renew } from './vpn-issue.ts';
import { listLeases, type VpnLease } from './vpn-leases.ts';

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

  /** The audit names who was refused and why; the answer says it to the node alone. */
  const audited = async <T>(kind: string, node: NodeRecord, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      const code = isV6Error(error) ? error.code : 'V6_BUG';
      deps.logger.warn('Client config refused', { kind, ...fieldsOf(node), code });
      throw error;
    }
  };

  const answering = (kind: 'new' | 'renewed', node: NodeRecord, work: () => Promise<Issued>) =>
    audited(kind, node, () => answerInTurn(kind, node, work));

  const answerInTurn = (kind: 'new' | 'renewed', node: NodeRecord, work: () => Promise<Issued>) =>
    inTurn(node.id, async () => {
      const held = await refuseRevoked(grants, node);
      const now = deps.clock.now().getTime();
      // They hold private keys: none stays longer than it must.
      for (const [id, { at }] of answers) if (now - at >= SAME_ANSWER_MS) answers.delete(id);
      const last = answers.get(node.id);
      // Another process may have ended it meanwhile, or given another one out.
      const isHeld = held?.current !== undefined && +(held.issuedAt ?? 0) <= (last?.at ?? 0);
      if (last?.kind === kind && isHeld) return last.answer;
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

const fieldsOf = (node: NodeRecord) => ({
  node: node.id,
  organization: node.organizationId,
  collaboration: node.collaborationId,
});
