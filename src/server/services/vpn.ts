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
import { type Grant, type Grants, grantsOf } from './vpn-grants.ts';

/**
 * Client configs for nodes, out of one portal authorization per node: eduVPN's `/connect` first ends what the same
 * authorization held, so nodes that shared one would throw each other out.
 * Throws V6_PORTAL_* as the connector does, V6_REQUEST_RATE. Calls for one node follow one another.
 */
export interface VpnService {
  /** A new authorization and its config; the authorization before it is ended afterwards. */
  issue(node: NodeRecord): Promise<string>;
  /** A new keypair on the same authorization, whose end does not move; as `issue` when there is none any more. */
  renew(node: NodeRecord): Promise<string>;
  /** Ends what the portal holds for the node. Nothing held is fine. */
  release(nodeId: number): Promise<void>;
}

export interface VpnServiceDeps {
  readonly store: Store;
  readonly portal: PortalConnector;
  readonly clock: Clock;
  readonly logger: Logger;
  /** 32 bytes; encrypts the portal's tokens in the database. */
  readonly key: Buffer;
}

/** A repeated request within this time is a retry of one whose answer got lost. */
const SAME_ANSWER_MS = 5000;
const PER_NODE = { max: 10, windowMs: 60_000 } as const;
/** An access token that ends sooner is refreshed first. */
const MARGIN_MS = 30_000;

export function createVpnService(deps: VpnServiceDeps): VpnService {
  const answers = new Map<
    number,
    { readonly kind: string; readonly text: string; readonly at: number }
  >();
  const attempts = createAttempts(PER_NODE, deps.clock);

  /** Also across replicas: two of them would end each other's authorization. */
  const inTurn = <T>(nodeId: number, work: () => Promise<T>): Promise<T> =>
    deps.store.exclusively(`vpn of node ${nodeId}`, work);

  const answering = (
    kind: 'new' | 'renewed',
    node: NodeRecord,
    work: () => Promise<IssuedConfig>,
  ) =>
    inTurn(node.id, async () => {
      const now = deps.clock.now().getTime();
      // They hold private keys: none stays longer than it must.
      for (const [id, { at }] of answers) if (now - at >= SAME_ANSWER_MS) answers.delete(id);
      const last = answers.get(node.id);
      if (last?.kind === kind) return last.text;
      if (!attempts.take(String(node.id))) {
        throw new V6Error('V6_REQUEST_RATE', 'This node asked for too many client configs', {
          hints: ['Wait a minute.'],
        });
      }
      const { text, expiresAt } = await work();
      answers.set(node.id, { kind, text, at: deps.clock.now().getTime() });
      deps.logger.info('Client config issued', {
        kind,
        node: node.id,
        organization: node.organizationId,
        collaboration: node.collaborationId,
        expiresAt: expiresAt?.toISOString() ?? null,
      });
      return text;
    });

  const grants = grantsOf(deps);
  return {
    issue: (node) => answering('new', node, () => issueNew(deps, grants, node)),
    renew: (node) => answering('renewed', node, () => renew(deps, grants, node)),
    release: (nodeId) =>
      inTurn(nodeId, async () => {
        const grant = await grants.find(nodeId);
        for (const tokens of [grant?.previous, grant?.current])
          if (tokens !== undefined) await deps.portal.disconnect(tokens);
        await deps.store.vpnGrants.remove(nodeId);
      }),
  };
}

async function issueNew(
  deps: VpnServiceDeps,
  grants: Grants,
  node: NodeRecord,
): Promise<IssuedConfig> {
  const { portal } = deps;
  const before = await grants.find(node.id);
  // Left over from a crash between connect and disconnect.
  if (before?.previous !== undefined) await endQuietly(deps, node, before.previous);
  const tokens = await portal.authorize();
  const old = before?.current;
  const pending: Grant = {
    nodeId: node.id,
    current: tokens,
    previous: old,
    profile: undefined,
    expiresAt: undefined,
  };
  // Stored before it is used: whatever happens next, both authorizations can be ended.
  await grants.save(pending);
  try {
    const profile = (await portal.findProfile(tokens)).id;
    const issued = await connectWithRoom(deps, node, { tokens, old, profile });
    await grants.save({ ...pending, profile, expiresAt: issued.expiresAt });
    if (old !== undefined) await endQuietly(deps, node, old);
    await grants.save({ ...pending, previous: undefined, profile, expiresAt: issued.expiresAt });
    return issued;
  } catch (error) {
    await endQuietly(deps, node, tokens);
    await grants.save(before ?? { ...pending, current: undefined, previous: undefined });
    throw error;
  }
}

/** Make before break; with a full quota break before make, since the node that asks has no working tunnel. */
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
    await portal.disconnect(use.old);
    return portal.connect(use.tokens, input);
  }
}

async function renew(
  deps: VpnServiceDeps,
  grants: Grants,
  node: NodeRecord,
): Promise<IssuedConfig> {
  const grant = await grants.find(node.id);
  const now = deps.clock.now().getTime();
  const hasEnded = grant?.expiresAt !== undefined && grant.expiresAt.getTime() <= now;
  if (grant?.current === undefined || grant.profile === undefined || hasEnded)
    return issueNew(deps, grants, node);
  try {
    const tokens = await freshTokens(deps, grants, grant, grant.current);
    const input = { profile: grant.profile, node: node.vpnId };
    const issued = await deps.portal.connect(tokens, input);
    await grants.save({ ...grant, current: tokens, expiresAt: issued.expiresAt });
    return issued;
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
  if (tokens.accessExpiresAt.getTime() - deps.clock.now().getTime() > MARGIN_MS) return tokens;
  const fresh = await deps.portal.refresh(tokens);
  // The old refresh token is used up: stored before anything else can fail.
  await grants.save({ ...grant, current: fresh });
  return fresh;
}

/** The portal ends it by itself in the end; that it cannot be asked now must not take the new config away. */
async function endQuietly(
  { portal, logger }: VpnServiceDeps,
  node: NodeRecord,
  tokens: PortalTokens,
): Promise<void> {
  try {
    await portal.disconnect(tokens);
  } catch (error) {
    if (!isV6Error(error)) throw error;
    logger.warn('An old authorization could not be ended at the portal', {
      node: node.id,
      code: error.code,
    });
  }
}
