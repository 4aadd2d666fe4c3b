import type { Ipv4 } from '../net/ipv4.ts';
import { parseElements, parseRefused } from './client-survey.ts';
import { CLIENT_TABLE } from './rules.ts';
import type { Refusal, RunNetwork } from './task-firewall.ts';

/** By whose words a refused address is told: the runs of this node, and its tunnel address when there is one. */
export interface Naming {
  readonly runs: readonly Pick<RunNetwork, 'algorithm' | 'mappings'>[];
  readonly own: Ipv4 | undefined;
}

/** What the sets of refusals in the text of `nft list` say about one algorithm, most packets first. */
export function refusalsOf(
  table: string,
  network: Pick<RunNetwork, 'algorithm' | 'mappings'>,
  naming: Naming,
): readonly Refusal[] {
  const received = refusedIn(table, 'refused_in')
    .filter(({ allowed }) => allowed.destination === network.algorithm)
    .map(({ allowed: { source, protocol, port }, packets }) => ({
      side: 'receiving' as const,
      address: source,
      protocol,
      port: tunnelPortOf(network, protocol, port) ?? port,
      packets,
    }));
  const sent = refusedIn(table, 'refused_out')
    .filter(({ allowed }) => allowed.source === network.algorithm)
    .map(({ allowed: { destination, protocol, port }, packets }) => ({
      side: 'sending' as const,
      protocol,
      packets,
      ...asCalled({ address: destination, port }, protocol, naming),
    }));
  return [...sent, ...received].toSorted((a, b) => b.packets - a.packets);
}

/** The commands of nft that forget what was refused to an algorithm. */
export function forgetRefusals(table: string, algorithm: Ipv4): readonly string[] {
  return (['refused_in', 'refused_out'] as const).flatMap((set) => {
    const keys = refusedIn(table, set)
      .filter(({ allowed }) =>
        set === 'refused_in' ? allowed.destination === algorithm : allowed.source === algorithm,
      )
      .map(({ key }) => key);
    return keys.length === 0
      ? []
      : [`delete element ${CLIENT_TABLE} ${set} { ${keys.join(', ')} }`];
  });
}

function refusedIn(table: string, set: 'refused_in' | 'refused_out') {
  return [...parseElements(table, 'set', set).keys()]
    .map(parseRefused)
    .filter((refused) => refused !== undefined);
}

function tunnelPortOf(
  { mappings }: Pick<RunNetwork, 'mappings'>,
  protocol: string,
  port: number,
): number | undefined {
  return mappings.find((one) => one.protocol === protocol && one.port === port)?.tunnelPort;
}

/** An algorithm of this node was called by the tunnel address: that is what its caller knows it by. */
function asCalled(
  end: { readonly address: Ipv4; readonly port: number },
  protocol: string,
  { runs, own }: Naming,
): { readonly address: Ipv4; readonly port: number } {
  const run = runs.find(({ algorithm }) => algorithm === end.address);
  if (run === undefined) return end;
  return { address: own ?? end.address, port: tunnelPortOf(run, protocol, end.port) ?? end.port };
}
