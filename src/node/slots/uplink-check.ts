import type { Networks } from '../../core/engine/engine.ts';
import { toV6Error, V6Error } from '../../core/errors.ts';
import type { Drift } from '../interfaces/drift.ts';
import type { OwnNetworks } from './own-networks.ts';

/**
 * Makes an uplink of our own again that somebody removed; one that is not ours can only be told of. The VPN client connects itself.
 * Throws V6_ENGINE_* when the engine cannot be asked.
 */
export async function checkUplink(
  networks: Pick<Networks, 'find' | 'ensure'>,
  { uplink, ownUplink }: Pick<OwnNetworks, 'uplink' | 'ownUplink'>,
): Promise<readonly Drift[]> {
  if ((await networks.find(uplink)) !== undefined) return [];
  const told = { what: `uplink network ${uplink}`, found: 'missing', wanted: 'there' };
  if (ownUplink === undefined) {
    const failure = new V6Error('V6_CONFIG_INVALID', `uplink_network ${uplink} does not exist`, {
      hints: [`Create it: docker network create ${uplink}`],
      details: { network: uplink },
    });
    return [{ ...told, failure }];
  }
  try {
    await networks.ensure(ownUplink);
    return [told];
  } catch (error) {
    return [{ ...told, failure: toV6Error(error) }];
  }
}
