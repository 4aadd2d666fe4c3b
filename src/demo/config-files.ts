import type { PortalReady } from './parts.ts';
import type { DemoNode, DemoPlan } from './plan.ts';
import { DEMO_PORTS } from './plan.ts';

const quote = (text: string): string => JSON.stringify(text);

/** Upstream asks for all of it, and only the level is used here. */
const LOGGING = `logging:
  level: INFO
  use_console: true
  backup_count: 5
  max_size: 1024
  format: "%(asctime)s %(levelname)s %(message)s"
  datefmt: "%H:%M:%S"
`;

/** The coordination server's configuration: upstream's keys, so that it also shows how one is written. */
export function renderServerConfig(plan: DemoPlan, portal: PortalReady): string {
  return `# Configuration of the demo's coordination server, written by \`v6 demo up\`.
description: demo server
ip: 0.0.0.0
port: ${DEMO_PORTS.server}
api_path: /api
uri: sqlite:///server.sqlite
allow_drop_all: false
${LOGGING}  file: unused.log
# Networks on which client configs may be handed out over plain HTTP without a warning: this host's own bridge.
vpn_trusted_networks:
  - ${plan.uplink}
vpn_server:
  url: ${quote(portal.url)}
  redirect_url: ${quote(portal.redirectUrl)}
  client_id: ${quote(portal.clientId)}
  client_secret: ${quote(portal.clientSecret)}
  portal_username: ${quote(portal.username)}
  portal_userpass: ${quote(portal.password)}
`;
}

/** A node's configuration; it reaches the server over the bridge that they share. */
export function renderNodeConfig(
  plan: DemoPlan,
  node: DemoNode,
  input: { apiKey: string; uplink: string; taskDir: string },
): string {
  return `# Configuration of the demo's node ${node.name}, written by \`v6 demo up\`.
api_key: ${quote(input.apiKey)}
server_url: http://${plan.serverAddress}
port: ${DEMO_PORTS.server}
api_path: /api
task_dir: ${quote(input.taskDir)}
databases: []
encryption:
  enabled: ${plan.encrypted === true}
vpn_subnet: ${plan.vpnSubnet}
isolated_range: ${node.isolatedRange}
uplink_network: ${input.uplink}
policies:
  # Images are built on this machine: there is no registry to pull them from.
  require_algorithm_pull: false
${LOGGING}`;
}
