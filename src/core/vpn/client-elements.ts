import { V6Error } from '../errors.ts';
import { isIpv4 } from '../net/ipv4.ts';
import {
  type AddressPlan,
  type Allowed,
  checkAlgorithm,
  checkMapping,
  hairpinsOf,
  type RunNetwork,
  receivingOf,
  sendingOf,
} from './task-firewall.ts';
import type { Remote } from './tunnel.ts';

/** The sets of the VPN client's table that the node fills (images/vpn/client.nft), in the order of a transaction. */
export const CLIENT_SETS = ['remotes', 'ports', 'receiving', 'sending'] as const;
export type ClientSet = (typeof CLIENT_SETS)[number];

/** `ports` is a map. */
export const kindOf = (set: ClientSet): 'map' | 'set' => (set === 'ports' ? 'map' : 'set');

/** Elements of one set as nft writes them: key, and the value of a map's or ''. */
export type Elements = ReadonlyMap<string, string>;
/** All elements that the table has, or is to have. */
export type ClientElements = Readonly<Record<ClientSet, Elements>>;

/** What the rules of a VPN client follow from, all of it. */
export interface ClientState extends AddressPlan {
  readonly remotes: readonly Remote[];
  readonly runs: ReadonlyMap<number, RunNetwork>;
}

/** Nothing is allowed. */
export const NO_ELEMENTS: ClientElements = {
  remotes: new Map(),
  ports: new Map(),
  receiving: new Map(),
  sending: new Map(),
};

/**
 * The elements of a state. Throws V6_FIREWALL_APPLY for a value that cannot be, for a tunnel port that two runs claim, and for
 * two runs at one address.
 */
export function planElements(state: ClientState): ClientElements {
  const { runs, isolatedRange } = state;
  const receiving = new Map<string, string>();
  const sending = new Map<string, string>();
  const holders = new Map<string, number>();
  const live = [...runs.values()];
  for (const [run, network] of runs) {
    checkAlgorithm(run, network, isolatedRange);
    const holder = holders.get(network.algorithm);
    if (holder !== undefined)
      throw new V6Error(
        'V6_FIREWALL_APPLY',
        `The address ${network.algorithm} of run ${run} is that of run ${holder}`,
      );
    holders.set(network.algorithm, run);
    for (const one of receivingOf(run, network, state)) receiving.set(allowedKey(one), '');
    for (const one of sendingOf(run, network, state)) sending.set(allowedKey(one), '');
    for (const one of hairpinsOf(network, live)) sending.set(allowedKey(one), '');
  }
  return { remotes: planRemotes(state.remotes), ports: planPorts(state), receiving, sending };
}

function planPorts({ runs, isolatedRange }: ClientState): Elements {
  const ports = new Map<string, string>();
  const holders = new Map<string, number>();
  for (const [run, { mappings }] of runs) {
    for (const mapping of mappings) {
      checkMapping(run, mapping, isolatedRange);
      const { protocol, tunnelPort, address, port } = mapping;
      const key = `${protocol} . ${tunnelPort}`;
      const holder = holders.get(key);
      if (holder !== undefined)
        throw new V6Error(
          'V6_FIREWALL_APPLY',
          `Tunnel port ${tunnelPort}/${protocol} of run ${run} is held by run ${holder}`,
        );
      holders.set(key, run);
      ports.set(key, `${address} . ${port}`);
    }
  }
  return ports;
}

function planRemotes(remotes: readonly Remote[]): Elements {
  return new Map(
    remotes.map(({ address, port, protocol }) => {
      const isGood =
        isIpv4(address) &&
        Number.isInteger(port) &&
        port >= 1 &&
        port <= 65535 &&
        (protocol === 'udp' || protocol === 'tcp');
      if (isGood) return [`${address} . ${protocol} . ${port}`, ''];
      throw new V6Error(
        'V6_FIREWALL_APPLY',
        `Impossible remote ${JSON.stringify(`${address} ${port} ${protocol}`)}`,
      );
    }),
  );
}

/** A key of `receiving` and `sending`. */
export function allowedKey({ source, destination, protocol, port }: Allowed): string {
  return `${source} . ${destination} . ${protocol} . ${port}`;
}

/** The state file of a set (images/vpn/entry.sh): one element per line, its words, nothing else. */
export function renderStateFile(elements: Elements): string {
  return [...elements]
    .map(([key, value]) => `${words(key)}${value === '' ? '' : ` ${words(value)}`}\n`)
    .join('');
}

const words = (text: string): string => text.replaceAll(' . ', ' ');
