import {
  CLIENT_SETS,
  type ClientElements,
  type ClientSet,
  type Elements,
  kindOf,
} from './client-elements.ts';
import { minus } from './client-transaction.ts';
import type { Allowed } from './task-firewall.ts';

/** The VPN client's rules as they are: the answer of `survey` in images/vpn/client.sh. */
export interface ClientSurvey {
  /** The table as it was listed when it had just been loaded, without its elements. */
  readonly loaded: string;
  /** The same now; empty when there is no table. */
  readonly table: string;
  readonly elements: ClientElements;
  /** Elements of the set `vpn`. */
  readonly vpn: readonly string[];
  /** Of the main table, as `ip route` shows them. */
  readonly routes: readonly string[];
  /** Addresses of tun0; undefined when there is no such device. */
  readonly tunnel: readonly string[] | undefined;
}

/** Something that is not as it is wanted: words for a log. */
export interface Difference {
  readonly what: string;
  readonly found: string;
  readonly wanted: string;
}

/** Reads the lines that `survey` printed: parts after `= loaded`, `= table`, `= routes`, `= tunnel`. */
export function parseSurvey(lines: readonly string[]): ClientSurvey {
  const parts = new Map<string, string[]>();
  let part: string[] = [];
  for (const line of lines) {
    const name = /^= (\w+)$/.exec(line)?.[1];
    if (name === undefined) part.push(line);
    else {
      part = [];
      parts.set(name, part);
    }
  }
  const table = (parts.get('table') ?? []).join('\n');
  const elementsOf = (set: ClientSet): Elements => parseElements(table, kindOf(set), set);
  return {
    loaded: withoutElements((parts.get('loaded') ?? []).join('\n')),
    table: withoutElements(table),
    elements: {
      remotes: elementsOf('remotes'),
      ports: elementsOf('ports'),
      receiving: elementsOf('receiving'),
      sending: elementsOf('sending'),
    },
    vpn: [...parseElements(table, 'set', 'vpn').keys()],
    routes: (parts.get('routes') ?? []).map((line) => line.trim()).filter((line) => line !== ''),
    tunnel: tunnelOf(parts.get('tunnel') ?? []),
  };
}

function tunnelOf(lines: readonly string[]): readonly string[] | undefined {
  if (lines.includes('no device')) return undefined;
  return lines.flatMap((line) => / inet ([\d.]+)/.exec(line)?.[1] ?? []);
}

/** The elements of a set or map in the text of `nft list table`; none when there is no such set. */
export function parseElements(table: string, kind: 'map' | 'set', name: string): Elements {
  const start = table.indexOf(`\t${kind} ${name} {`);
  if (start < 0) return new Map();
  const body = table.slice(start, table.indexOf('\n\t}', start));
  const list = /elements = \{([^}]*)\}/.exec(body)?.[1] ?? '';
  return new Map(
    list
      .split(',')
      .map((element) => element.trim())
      .filter((element) => element !== '')
      .map((element) => {
        const [key = '', value = ''] = element.split(' : ');
        return [key, value];
      }),
  );
}

/** What an element of the sets of refusals records. Undefined for text that is none. */
export function parseRefused(
  element: string,
): { readonly key: string; readonly allowed: Allowed; readonly packets: number } | undefined {
  const match =
    /^(([\d.]+) \. ([\d.]+) \. (tcp|udp) \. (\d+))(?: .*?)? counter packets (\d+) /.exec(element);
  if (match === null) return undefined;
  const [, key = '', source, destination, protocol, port, packets] = match;
  const allowed = { source, destination, protocol, port: Number(port) } as Allowed;
  return { key, allowed, packets: Number(packets) };
}

function withoutElements(table: string): string {
  return table.replaceAll(/\n\t\telements = \{[^}]*\}/g, '').trim();
}

/** Elements of sets that differ from what is wanted. */
export function compareElements(found: ClientElements, wanted: ClientElements): Difference[] {
  return CLIENT_SETS.flatMap((set) => {
    const missing = minus(wanted[set], found[set]);
    const extra = minus(found[set], wanted[set]);
    if (missing.size === 0 && extra.size === 0) return [];
    return [
      {
        what: `${kindOf(set)} ${set} of the VPN client`,
        found: `${found[set].size} elements${sample(', foreign: ', extra)}`,
        wanted: `${wanted[set].size} elements${sample(', missing: ', missing)}`,
      },
    ];
  });
}

/** Rules that differ from those that were loaded. */
export function compareRules(survey: ClientSurvey): Difference[] {
  const { loaded, table } = survey;
  if (loaded === table && table !== '') return [];
  const what = 'rules of the VPN client';
  if (table === '')
    return [{ what, found: 'no table inet v6client', wanted: 'the table with its rules' }];
  const before = linesOf(loaded);
  const now = linesOf(table);
  const extra = now.filter((line) => !before.includes(line));
  const missing = before.filter((line) => !now.includes(line));
  return [
    {
      what,
      found: extra.length > 0 ? `foreign: ${some(extra)}` : 'lines missing, or in another order',
      wanted: missing.length > 0 ? some(missing) : 'the rules as they were loaded',
    },
  ];
}

const linesOf = (text: string): readonly string[] => text.split('\n').map((line) => line.trim());

const SHOWN = 3;

function some(list: readonly string[]): string {
  const more = list.length > SHOWN ? ` and ${list.length - SHOWN} more` : '';
  return `${list.slice(0, SHOWN).join('; ')}${more}`;
}

function sample(head: string, elements: Elements): string {
  if (elements.size === 0) return '';
  return `${head}${some([...elements].map(([key, value]) => (value === '' ? key : `${key} : ${value}`)))}`;
}

/** The set `vpn` against vpn_subnet. */
export function compareVpn(survey: ClientSurvey, vpnSubnet: string | undefined): Difference[] {
  const found = survey.vpn.join(', ');
  const wanted = vpnSubnet ?? '';
  // nft writes a network of one address without its length.
  if (survey.table === '' || found === wanted || `${found}/32` === wanted) return [];
  return [
    { what: 'set vpn of the VPN client', found: found || 'empty', wanted: wanted || 'empty' },
  ];
}

/** The device of the tunnel, its address, and the two routes of the VPN; all but one route only while the tunnel is up. */
export function compareRoutes(
  { routes, tunnel }: ClientSurvey,
  vpnSubnet: string | undefined,
  address: string | undefined,
): Difference[] {
  if (vpnSubnet === undefined) return [];
  const network = vpnSubnet.replace(/\/32$/, '');
  const isThere = (start: string, metric: string): boolean =>
    routes.some((route) => route.startsWith(`${start} `) && route.includes(` metric ${metric}`));
  const wanted: [string, string][] = [[`blackhole ${network}`, '4000']];
  if (address !== undefined) wanted.push([`${network} dev tun0`, '100']);
  const missing = wanted
    .filter(([start, metric]) => !isThere(start, metric))
    .map(([start, metric]) => ({
      what: 'routes of the VPN client',
      found: `no ${start}`,
      wanted: `${start} metric ${metric}`,
    }));
  if (address === undefined || tunnel?.includes(address) === true) return missing;
  const found = tunnel === undefined ? 'no device' : tunnel.join(', ') || 'no address';
  return [{ what: 'tun0 of the VPN client', found, wanted: address }, ...missing];
}
