import type { Context } from '../../core/context.ts';
import type { Engine } from '../../core/engine/engine.ts';
import { isV6Error } from '../../core/errors.ts';
import { LABEL, names } from '../../core/labels.ts';
import type { DaemonNetwork } from '../../core/protocol/daemon.ts';
import type { NetworkView } from '../../core/protocol/node-network.ts';
import type { DaemonClient } from '../interfaces/daemon-client.ts';
import type { HostFirewall } from '../interfaces/host-firewall.ts';

export interface NetworkViewDeps {
  readonly daemon: Pick<DaemonClient, 'network'>;
  /** Asked for only where no daemon answers. */
  host(): Promise<ViewedHost>;
}

export interface ViewedHost {
  readonly engine: Pick<Engine, 'containers' | 'networks'>;
  readonly firewall: Pick<HostFirewall, 'inspect' | 'close'>;
}

type Node = Pick<Context, 'name' | 'scope'>;

/** A node's networks and rules as they stand now, told by its daemon or read from the host. Throws V6_FIREWALL_READ, V6_ENGINE_*. */
export async function viewNetwork(deps: NetworkViewDeps, node: Node): Promise<NetworkView> {
  try {
    return { running: true, ...(await deps.daemon.network()) };
  } catch (error) {
    if (!isV6Error(error, 'V6_NODE_NOT_RUNNING')) throw error;
  }
  const host = await deps.host();
  try {
    return { running: false, ...(await fromHost(host, node)) };
  } finally {
    await host.firewall.close();
  }
}

async function fromHost(deps: ViewedHost, { name, scope }: Node): Promise<DaemonNetwork> {
  const labels = { [LABEL.scope]: scope, [LABEL.node]: name };
  const networks = await deps.engine.networks.list(labels);
  const containers = await deps.engine.containers.list(labels);
  const runOf = new Map(containers.map((it) => [it.name, Number(it.labels[LABEL.run] ?? '')]));
  const slots = networks.filter((it) => it.labels[LABEL.kind] === 'slot');
  const uplink = networks.find((it) => it.labels[LABEL.kind] === 'uplink');
  const client = containers.find((it) => it.labels[LABEL.kind] === 'vpn-client');
  const host = await deps.firewall.inspect();
  return {
    uplink: uplink?.name ?? '',
    slots: slots.map(({ name: network, subnets: [subnet = ''], bridge = '', containers: on }) => ({
      network,
      subnet,
      bridge,
      run:
        Object.keys(on)
          .map((it) => runOf.get(it))
          .find((run) => run) ?? null,
    })),
    vpnClient: {
      container: client?.name ?? names.vpnClient(name, scope),
      running: client?.state === 'running',
      rules: client?.state === 'running' ? await clientRules(deps.engine, client.name) : '',
    },
    hostRules: host.rules,
    host,
  };
}

/** As text; empty when they cannot be read, for instance while the container is starting. */
async function clientRules(engine: Pick<Engine, 'containers'>, container: string): Promise<string> {
  const { exitCode, output } = await engine.containers.exec(container, ['nft', 'list', 'ruleset']);
  return exitCode === 0 ? output : '';
}
