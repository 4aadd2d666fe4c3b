/**
 * Key of ours in `node_info_update`, beside upstream's: `on` when the node's configuration names a `vpn_subnet`, else `off`.
 * It tells a node that works without VPN from one whose tunnel is down: both have no address at the server. Absent from
 * Python nodes and from nodes with `share_config: false`.
 */
export const NODE_INFO_VPN = 'vpn';
