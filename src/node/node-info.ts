import type { NodeConfig } from '../core/config/node-config.ts';
import { NODE_INFO_VPN } from '../core/protocol/node-info.ts';

/**
 * What a node tells of itself after each connect: upstream's fields (vantage6 4.14 node/__init__.py, share_node_details) as far
 * as we have them, and whether its VPN is on. No names of files, addresses or columns.
 */
export function nodeInfo(
  config: Pick<NodeConfig, 'encrypted' | 'policies' | 'databases' | 'vpnSubnet'>,
): Readonly<Record<string, unknown>> {
  const { databases, policies } = config;
  return {
    encryption: config.encrypted,
    allowed_algorithms: policies.allowedAlgorithms ?? 'all',
    ...(policies.allowedUsers.length === 0 ? {} : { allowed_users: policies.allowedUsers }),
    ...(policies.allowedOrganizations.length === 0
      ? {}
      : { allowed_orgs: policies.allowedOrganizations }),
    database_labels: databases.map(({ label }) => label),
    database_types: Object.fromEntries(
      databases.map(({ label, type }) => [`db_type_${label}`, type]),
    ),
    [NODE_INFO_VPN]: config.vpnSubnet === undefined ? 'off' : 'on',
  };
}
