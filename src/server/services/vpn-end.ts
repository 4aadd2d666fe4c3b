import type { Clock } from '../../core/clock.ts';
import { isV6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { PortalConnector, PortalTokens } from '../interfaces/portal-connector.ts';
import type { NodeRecord } from '../interfaces/records.ts';
import type { Grants } from './vpn-grants.ts';

interface EndDeps {
  readonly portal: Pick<PortalConnector, 'disconnect' | 'refresh'>;
  readonly clock: Pick<Clock, 'now'>;
}

/** An access token that ends sooner is refreshed first. */
const MARGIN_MS = 30_000;

/** False for an access token that has ended or will in a moment. */
export const isFresh = (tokens: PortalTokens, clock: Pick<Clock, 'now'>): boolean =>
  tokens.accessExpiresAt.getTime() - clock.now().getTime() > MARGIN_MS;

/** Ends what the portal holds for the node. Throws as the connector does, and then nothing is forgotten. */
export async function endGrant(deps: EndDeps, grants: Grants, nodeId: number): Promise<void> {
  const grant = await grants.find(nodeId);
  for (const tokens of [grant?.previous, grant?.current])
    if (tokens !== undefined) await endConfigs(deps, tokens);
}

/** With an access token that has ended the portal would do nothing, and the configuration would go on counting. */
export async function endConfigs({ portal, clock }: EndDeps, tokens: PortalTokens): Promise<void> {
  try {
    await portal.disconnect(isFresh(tokens, clock) ? tokens : await portal.refresh(tokens));
  } catch (error) {
    // Refused: the authorization is gone, and with it what it held.
    if (!isV6Error(error, 'V6_PORTAL_TOKEN')) throw error;
  }
}

/**
 * What is still to be ended afterwards: nothing, or the same when the portal cannot do it now. That must not take the new
 * config away, but the portal goes on counting it, so whoever calls this keeps it.
 */
export async function endQuietly(
  deps: EndDeps & { readonly logger: Logger },
  node: NodeRecord,
  tokens: PortalTokens,
): Promise<PortalTokens | undefined> {
  try {
    await endConfigs(deps, tokens);
    return undefined;
  } catch (error) {
    if (!isV6Error(error)) throw error;
    deps.logger.warn('An old authorization could not be ended at the portal', {
      node: node.id,
      code: error.code,
    });
    return tokens;
  }
}
