import { z } from 'zod';
import { V6Error } from '../../../core/errors.ts';
import type { IssuedClientConfig, VpnService } from '../../services/vpn.ts';
import { callerOf, type Routes } from '../app-types.ts';
import { createPlainHttpGuard } from '../plain-http.ts';

const updateBody = z.strictObject({ vpn_config: z.string().min(1).max(262_144) });

/** Client configs for nodes. */
export function registerVpnRoutes({
  app,
  vpn,
  logger,
  transport,
  vpnTrustedNetworks,
}: Routes): void {
  const guard = createPlainHttpGuard({
    trusted: vpnTrustedNetworks,
    proxies: transport.trustedProxies,
    logger,
  });

  app.get('/vpn', async (request) => {
    const { node } = callerOf(request, 'node');
    const service = assertOn(vpn);
    guard(request);
    return answerOf(await service.issue(node));
  });

  // The old file is not read: the authorization is known from the database.
  app.post('/vpn/update', { schema: { body: updateBody } }, async (request) => {
    const { node } = callerOf(request, 'node');
    const service = assertOn(vpn);
    guard(request);
    return answerOf(await service.renew(node));
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
