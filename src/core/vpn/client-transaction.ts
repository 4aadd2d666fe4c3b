import {
  CLIENT_SETS,
  type ClientElements,
  type ClientSet,
  type Elements,
  kindOf,
} from './client-elements.ts';
import { CLIENT_TABLE } from './rules.ts';

/** One nft transaction, a command per line. Its text holds digits, words and punctuation of ours, no quote. */
export type Transaction = readonly string[];

/** Makes the sets hold exactly these elements. What stands there need not be known. */
export function renderWhole(wanted: ClientElements): Transaction {
  return CLIENT_SETS.flatMap((set) => [flush(set), ...add(set, wanted[set])]);
}

/** All elements, for sets that have just been made. */
export function renderFill(wanted: ClientElements): Transaction {
  return CLIENT_SETS.flatMap((set) => add(set, wanted[set]));
}

/** From one content to another; empty when they are the same. The shorter of a difference and a fresh start, set by set. */
export function renderChange(before: ClientElements, wanted: ClientElements): Transaction {
  return CLIENT_SETS.flatMap((set) => {
    const gone = minus(before[set], wanted[set]);
    if (gone.size > wanted[set].size) return [flush(set), ...add(set, wanted[set])];
    return [...remove(set, gone), ...add(set, minus(wanted[set], before[set]))];
  });
}

/** Elements of `one` that are not in `other`, or are another value there. */
export function minus(one: Elements, other: Elements): Elements {
  return new Map([...one].filter(([key, value]) => other.get(key) !== value));
}

/**
 * A pair of addresses between which flows are to be cut; with protocol and port when others between the two stay allowed. `port`
 * is that of the destination, as in the sets.
 */
export interface Cut {
  readonly source: string;
  readonly destination: string;
  readonly end?: string;
}

/** What is no longer allowed, as the flows that must end. */
export function cutsOf(before: ClientElements, wanted: ClientElements): readonly Cut[] {
  return (['receiving', 'sending'] as const).flatMap((set) => {
    const gone = minus(before[set], wanted[set]);
    if (gone.size === 0) return [];
    const staying = new Set([...wanted[set].keys()].map((key) => pairOf(key).pair));
    const cuts = new Map<string, Cut>();
    for (const key of gone.keys()) {
      const { pair, source, destination, end } = pairOf(key);
      if (staying.has(pair)) cuts.set(key, { source, destination, end });
      else cuts.set(pair, { source, destination });
    }
    return [...cuts.values()];
  });
}

function pairOf(key: string) {
  const [source = '', destination = '', protocol = '', port = ''] = key.split(' . ');
  return { pair: `${source} ${destination}`, source, destination, end: `${protocol} ${port}` };
}

/** For the function `cut` of images/vpn/client.sh: a line each. */
export function renderCuts(cuts: readonly Cut[]): readonly string[] {
  return cuts.map(
    ({ source, destination, end }) =>
      `${source} ${destination}${end === undefined ? '' : ` ${end}`}`,
  );
}

function flush(set: ClientSet): string {
  return `flush ${kindOf(set)} ${CLIENT_TABLE} ${set}`;
}

function add(set: ClientSet, elements: Elements): readonly string[] {
  if (elements.size === 0) return [];
  const list = [...elements].map(([key, value]) => (value === '' ? key : `${key} : ${value}`));
  return [`add element ${CLIENT_TABLE} ${set} { ${list.join(', ')} }`];
}

function remove(set: ClientSet, elements: Elements): readonly string[] {
  if (elements.size === 0) return [];
  return [`delete element ${CLIENT_TABLE} ${set} { ${[...elements.keys()].join(', ')} }`];
}
