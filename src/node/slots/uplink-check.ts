import type { Networks } from '../../core/engine/engine.ts';
import { toV6Error, V6Error } from '../../core/errors.ts';
import type { Drift } from '../interfaces/drift.ts';
import { bridgeless, type HostLinks } from './host-links.ts';
import type { OwnNetworks } from './own-networks.ts';

/**
 * Makes an uplink of our own again that somebody removed, or whose bridge; one that is not ours can only be told of. The VPN client connects itself.
 * Throws V6_ENGINE_* when the engine cannot be asked.
 */
export async function checkUplink(
  networks: Pick<Networks, 'find' | 'ensure' | 'remove'>,
  hostLinks: HostLinks,
  { uplink, ownUplink }: Pick<OwnNetworks, 'uplink' | 'ownUplink'>,
): Promise<readonly Drift[]> {
  const network = await networks.find(uplink);
  const [broken] = network === undefined ? [] : await bridgeless([network], hostLinks);
  if (network !== undefined && broken === undefined) return [];
  const found = broken === undefined ? 'missing' : `without its bridge ${broken.bridge}`;
  const told = { what: `uplink network ${uplink}`, found, wanted: 'there' };
  if (ownUplink === undefined) {
    const failure = new V6Error('V6_CONFIG_INVALID', `uplink_network ${uplink} is ${found}`, {
      hints: [
        ...(broken === undefined ? [] : [`Remove what is left of it: docker network rm ${uplink}`]),
        `Create it: docker network create ${uplink}`,
      ],
      details: { network: uplink },
    });
    return [{ ...told, failure }];
  }
  try {
    if (broken !== undefined) await networks.remove(uplink);
    await networks.ensure(ownUplink);
    return [told];
  } catch (error) {
    return [{ ...told, failure: toV6Error(error) }];
  }
}
