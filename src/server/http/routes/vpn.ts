import { z } from 'zod';
import { V6Error } from '../../../core/errors.ts';
import type { IssuedClientConfig, VpnService } from '../../services/vpn.ts';
import { callerOf, type Routes } from '../app-types.ts';
import { createPlainHttpGuard } from '../plain-http.ts';

const updateBody = z.strictObject({ vpn_config: z.string().min(1).max(262_144) });

/** Each may cost the portal a login, an authorization and one of few slots. */
const CONFIGS_PER_NODE = { max: 30, windowMs: 3_600_000 } as const;

/** Client configs for nodes. */
export function registerVpnRoutes({
  app,
  vpn,
  store,
  clock,
  logger,
  transport,
  vpnTrustedNetworks,
}: Routes): void {
  const guard = createPlainHttpGuard({
    trusted: vpnTrustedNetworks,
    proxies: transport.trustedProxies,
    logger,
  });

  /**
   * Across replicas, and beside the service's own limit per minute. What the portal did not give does not count: a node must not
   * wait an hour for a portal that was away. Throws V6_REQUEST_RATE.
   */
  const counted = async <T>(nodeId: number, work: () => Promise<T>): Promise<T> => {
    const key = `vpn ${nodeId}`;
    const limit = { key, ...CONFIGS_PER_NODE, slides: false };
    if ((await store.attempts.take([limit], clock.now())).length > 0) {
      throw new V6Error('V6_REQUEST_RATE', 'This node asked for too many client configs', {
        hints: ['Wait an hour.'],
        details: { retryAfterSeconds: CONFIGS_PER_NODE.windowMs / 1000 },
      });
    }
    try {
      return await work();
    } catch (error) {
      await store.attempts.giveBack([key]);
      throw error;
    }
  };

  app.get('/vpn', async (request) => {
    const { node } = callerOf(request, 'node');
    const service = assertOn(vpn);
    guard(request);
    return answerOf(await counted(node.id, () => service.issue(node)));
  });

  // The old file is not read: the authorization is known from the database.
  app.post('/vpn/update', { schema: { body: updateBody } }, async (request) => {
    const { node } = callerOf(request, 'node');
    const service = assertOn(vpn);
    guard(request);
    return answerOf(await counted(node.id, () => service.renew(node)));
  });

  // Ours: a node that stops for long gives its lease back.
  app.post('/vpn/release', async (request) => {
    const { node } = callerOf(request, 'node');
    await assertOn(vpn).release(node.id);
    return { msg: 'The VPN lease is given back' };
  });
}

/** `reclaimed` is ours: whose lease ended so that this node could have one. */
const answerOf = ({ text, reclaimed }: IssuedClientConfig) => ({
  ovpn_config: text,
  ...(reclaimed === undefined ? {} : { reclaimed }),
});

function assertOn(vpn: VpnService | undefined): VpnService {
  if (vpn !== undefined) return vpn;
  throw new V6Error('V6_VPN_OFF', 'This server gives out no VPN', {
    hints: ['Its administrator can set one up: v6 server vpn configure'],
  });
}
