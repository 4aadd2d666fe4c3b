import type { DaemonNetwork, DaemonStatus, DaemonVpn, Verdict } from '../core/protocol/daemon.ts';
import type { DaemonDeps } from './daemon-deps.ts';
import type { DaemonParts } from './daemon-start.ts';
import type { EnginePresence } from './engine-presence.ts';
import { vpnReport } from './vpn/report.ts';

export interface StatusInput {
  readonly deps: Pick<DaemonDeps, 'context' | 'coordinator'>;
  readonly parts: Pick<
    DaemonParts,
    'identity' | 'slots' | 'runs' | 'vpn' | 'ladder' | 'keys' | 'keeper'
  >;
  readonly verdict: Verdict;
  readonly engine: ReturnType<EnginePresence['status']>;
  readonly startedAt: Date;
}

/** What `v6 node status` shows. */
export function statusReport(input: StatusInput): DaemonStatus {
  const { context, coordinator } = input.deps;
  const { identity, slots, runs, vpn, ladder, keys, keeper } = input.parts;
  const tunnel = vpn.tunnel();
  const uses = slots.uses();
  return {
    node: {
      id: identity.id,
      name: context.name,
      organization: identity.organization,
      collaboration: identity.collaboration,
    },
    pid: process.pid,
    startedAt: input.startedAt.toISOString(),
    server: { url: coordinator.session.baseUrl, connected: coordinator.events.connected },
    vpn: {
      ...input.verdict,
      certificateExpiresAt: ladder?.certificate()?.notAfter.toISOString() ?? null,
      connectedSince: tunnel.kind === 'connected' ? tunnel.since.toISOString() : null,
    },
    encryption: keys?.status() ?? null,
    engine: input.engine,
    slots: { total: uses.length, busy: uses.filter(({ run }) => run !== null).length },
    runs: runs.list().map((run) => ({ ...run, since: run.since.toISOString() })),
    queued: runs.queued,
    queue: runs.queue,
    network: keeper.status(),
  };
}

/** What `v6 node vpn status` shows; the VPN client is asked. */
export async function describeVpn(
  { vpn, ladder, renewal }: Pick<DaemonParts, 'vpn' | 'ladder' | 'renewal'>,
  verdict: Verdict,
): Promise<DaemonVpn> {
  return vpnReport({
    verdict,
    tunnel: vpn.tunnel(),
    client: await vpn.describe(),
    certificate: ladder?.certificate(),
    renewsAt: renewal?.dueAt(),
    lastError: ladder?.lastError(),
  });
}

/** What `v6 node network show` shows; the VPN client and the firewall of the host are asked. */
export async function describeNetwork(
  { networks, slots, vpn, families }: Pick<DaemonParts, 'networks' | 'slots' | 'vpn' | 'families'>,
  firewall: Pick<DaemonDeps['firewall'], 'inspect'>,
): Promise<DaemonNetwork> {
  const { container, running, rules, refusals = {} } = await vpn.describe();
  const host = await firewall.inspect();
  return {
    uplink: networks.uplink,
    slots: slots.uses().map(({ slot, run }) => ({
      network: slot.network,
      subnet: slot.subnet,
      bridge: slot.bridge,
      run,
    })),
    vpnClient: { container, running, rules },
    runs: families.describe(),
    refusals: Object.entries(refusals).flatMap(([run, refused]) =>
      refused.map((one) => ({ run: Number(run), ...one })),
    ),
    hostRules: host.rules,
    host,
  };
}
