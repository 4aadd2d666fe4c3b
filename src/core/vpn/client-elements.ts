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

/** Reads a state file again, line by line: one that cannot be is left out. */
export function parseStateFile(set: ClientSet, text: string): Elements {
  const form = STATE_LINES[set];
  return new Map(
    text.split('\n').flatMap((line): [string, string][] => {
      const match = form.exec(line);
      if (match === null) return [];
      const [, key = '', value = ''] = match;
      return [[dotted(key), dotted(value)]];
    }),
  );
}

const ADDRESS = String.raw`\d{1,3}(?:\.\d{1,3}){3}`;
const FLOW = new RegExp(`^(${ADDRESS} ${ADDRESS} (?:tcp|udp) \\d{1,5})$`);
const STATE_LINES: Readonly<Record<ClientSet, RegExp>> = {
  remotes: new RegExp(`^(${ADDRESS} (?:tcp|udp) \\d{1,5})$`),
  ports: new RegExp(`^((?:tcp|udp) \\d{1,5}) (${ADDRESS} \\d{1,5})$`),
  receiving: FLOW,
  sending: FLOW,
};

const dotted = (text: string): string => text.replaceAll(' ', ' . ');

/** The elements that are about algorithms at these addresses: what leads to them, and what they may reach. */
export function elementsOf(all: ClientElements, algorithms: ReadonlySet<string>): ClientElements {
  const mapped = new Set([...all.ports.values()].map((value) => value.split(' . ')[0]));
  const isKept = (address = ''): boolean => algorithms.has(address);
  const keep = (elements: Elements, isWanted: (key: string, value: string) => boolean) =>
    new Map([...elements].filter(([key, value]) => isWanted(key, value)));
  return {
    remotes: new Map(),
    ports: keep(all.ports, (_, value) => isKept(value.split(' . ')[0])),
    receiving: keep(all.receiving, (key) => isKept(key.split(' . ')[1])),
    sending: keep(all.sending, (key) => {
      const [source, destination] = key.split(' . ');
      // Not to another algorithm that is gone: its address is somebody else's next.
      return isKept(source) && (isKept(destination) || !mapped.has(destination));
    }),
  };
}

/** Both; where they disagree, `first`. */
export function together(first: ClientElements, second: ClientElements): ClientElements {
  const both = (set: ClientSet): Elements => new Map([...second[set], ...first[set]]);
  return {
    remotes: both('remotes'),
    ports: both('ports'),
    receiving: both('receiving'),
    sending: both('sending'),
  };
}
