import { expect, it } from 'vitest';
import { nodeInfo } from '../../../src/node/node-info.ts';
import { nodeConfig } from '../../fakes/node-world.ts';

it('tells what the node offers and whether its VPN is on, and neither places nor keys', () => {
  const databases = [{ label: 'default', uri: '/secret/place.csv', type: 'csv' }];
  const info = nodeInfo(nodeConfig({ databases }));
  expect(info).toEqual({
    encryption: false,
    allowed_algorithms: 'all',
    database_labels: ['default'],
    database_types: { db_type_default: 'csv' },
    vpn: 'on',
  });
  expect(nodeInfo(nodeConfig({ vpnSubnet: undefined })).vpn).toBe('off');
});
