import type { Context } from '../core/context.ts';
import { V6Error } from '../core/errors.ts';
import { names } from '../core/labels.ts';
import type { PortalDeps } from './portal-deps.ts';
import type { PortalPlacement } from './settings.ts';

/**
 * Is everything there that a start needs? Changes nothing. Throws V6_IMAGE_NOT_FOUND, V6_NET_TUN_MISSING,
 * V6_NET_PORT_IN_USE.
 */
export async function checkHost(
  deps: PortalDeps,
  context: Context,
  placement: PortalPlacement,
  before: PortalPlacement | undefined,
): Promise<void> {
  await checkImages(deps);
  if (!(await deps.host.hasTunDevice())) throw tunMissing();
  await checkPorts(deps, context, placement, before);
}

async function checkImages({ engine, images }: PortalDeps): Promise<void> {
  for (const reference of [images.runtime, images.vpn]) {
    if ((await engine.images.find(reference)) !== undefined) continue;
    throw new V6Error('V6_IMAGE_NOT_FOUND', `The image ${reference} is not on this machine`, {
      hints: ['Build it: npx v6 images build'],
    });
  }
}

function tunMissing(): V6Error {
  return new V6Error('V6_NET_TUN_MISSING', 'This host has no tun device: /dev/net/tun', {
    hints: [
      'Load the driver as root: modprobe tun',
      'In a virtual machine or container, ask whoever runs its host to allow /dev/net/tun.',
    ],
  });
}

/** Ports that our own running containers hold already are not in our way. */
async function checkPorts(
  deps: PortalDeps,
  context: Context,
  { publish }: PortalPlacement,
  before: PortalPlacement | undefined,
): Promise<void> {
  const wanted = [
    { port: publish?.http, protocol: 'tcp', kept: before?.publish?.http, by: names.portal },
    { port: publish?.vpn, protocol: 'udp', kept: before?.publish?.vpn, by: names.vpnServer },
  ] as const;
  for (const { port, protocol, kept, by } of wanted) {
    if (port === undefined || publish === undefined) continue;
    const holder = await deps.engine.containers.find(by(context.scope));
    if (kept === port && holder?.state === 'running') continue;
    if (await deps.host.isPortFree({ address: publish.address, port, protocol })) continue;
    throw new V6Error(
      'V6_NET_PORT_IN_USE',
      `Port ${port}/${protocol} of ${publish.address} is in use on this host`,
      {
        hints: [
          protocol === 'tcp'
            ? 'Choose another: --http-port PORT'
            : 'Choose another: --vpn-port PORT',
          `See who holds it: ss -lnp${protocol === 'tcp' ? 't' : 'u'} | grep :${port}`,
        ],
        details: { port, protocol, address: publish.address },
      },
    );
  }
}
