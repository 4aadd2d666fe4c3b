import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import type { Run } from '../../src/core/protocol/entities.ts';
import { hostState } from './host-state.ts';
import type { MeshLab, MeshNode } from './mesh-lab.ts';

/** What a lab has on the host, at the server and in its VPN clients, as sorted lines per kind. */
export type MeshState = Readonly<Record<string, readonly string[]>>;

/** What the second state has too much (`+`) or too little (`-`). */
export function leaks(before: MeshState, after: MeshState): string[] {
  const kinds = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...kinds].flatMap((kind) => {
    const old = before[kind] ?? [];
    const now = after[kind] ?? [];
    return [
      ...surplus(now, old).map((line) => `+ ${kind}: ${line}`),
      ...surplus(old, now).map((line) => `- ${kind}: ${line}`),
    ];
  });
}

/** Lines of `list` that `other` does not hold as often. */
function surplus(list: readonly string[], other: readonly string[]): string[] {
  const left = [...other];
  return list.filter((line) => {
    const at = left.indexOf(line);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}

/**
 * Everything of the lab that could leak. Spare slots come and go by themselves: they are left out wherever the daemon knows
 * them as spare, and only what nobody knows of stays in.
 */
export async function meshState(lab: MeshLab): Promise<MeshState> {
  const views = await Promise.all(lab.nodes.map(nodeState));
  const spare = views.flatMap((view) => view.spare);
  const state: Record<string, string[]> = {
    ...(await stateOnHost(lab, spare)),
    leases: await leases(lab),
  };
  views.forEach(({ lines }, at) => {
    for (const [kind, list] of Object.entries(lines))
      state[`${lab.nodes[at]?.name} ${kind}`] = list.toSorted();
  });
  return state;
}

/** Rules, links and routes of one node on this host, for a node that does not run. */
export async function nodeOnHost(lab: MeshLab, node: MeshNode): Promise<MeshState> {
  const bridges = [...lab.bridgesOf(node)];
  const about = (lines: readonly string[], marks: readonly string[]): string[] =>
    lines.filter((line) => marks.some((mark) => line.includes(mark)));
  return {
    rules: about(await output('nft', ['list', 'ruleset']), [
      ...bridges,
      node.range,
      `${lab.scope}/${node.name}`,
    ]),
    links: about(await output('ip', ['-o', 'link']), bridges),
    routes: about(await output('ip', ['-4', 'route', 'show', 'table', 'all']), bridges),
  };
}

/**
 * The host as host-state.ts sees it, without what others have on it at the same time: containers, networks, devices, rules and
 * processes that do not carry the lab's scope or lie on its bridges.
 */
export async function hostWithoutOthers(lab: MeshLab): Promise<MeshState> {
  const bridges = lab.bridges();
  const host = await hostState([path.join(lab.vpn.folder.path, 'r')]);
  const isOthers = (line: string): boolean => {
    if (line.includes(lab.scope)) return false;
    // As iptables-save (`-i`, `-o`) and nft (`iifname`, `oifname`) name devices; what lies between them is a network of somebody.
    const named = [...line.matchAll(/(?:-[io]|[io]ifname(?: !=)?) "?([\w.-]+)"?/g)];
    const devices = named.map(([, device = '']) => device);
    if (devices.some((device) => !bridges.has(device) && !STANDING.has(device))) return true;
    return /"v6 [\w.-]+\/[\w.-]+"/.test(line);
  };
  const isOurs = (line: string): boolean => line.includes(lab.scope);
  const { containers = [], networks = [], links = [], routes = [], settings = [] } = host;
  return {
    containers: containers.filter(isOurs).map(withoutId),
    networks: networks.filter(isOurs).map(withoutId),
    links: links.filter((name) => bridges.has(name)),
    routes: routes.filter((line) => [...bridges].some((bridge) => line.includes(bridge))),
    iptables: (host.iptables ?? []).filter((line) => !isOthers(line)),
    nft: withoutGuard((host.nft ?? []).join('\n'), lab.scope).filter((line) => !isOthers(line)),
    settings,
    folders: host.folders ?? [],
  };
}

/** Devices that every host with an engine has. */
const STANDING = new Set(['docker0', 'lo']);

const withoutId = (line: string): string => line.split(' ').slice(1).join(' ');

/** The guard is shared: it stands as long as anybody needs it, so of it only an element of ours counts. */
function withoutGuard(text: string, scope: string): string[] {
  const guard = /table inet v6guard \{[\s\S]*?\n\}\n?/g;
  const ours = [...text.matchAll(guard)].flatMap(([table]) =>
    table.split(/[\n,]/).filter((part) => part.includes(`${scope}/`)),
  );
  return [...text.replaceAll(guard, '').split('\n'), ...ours];
}

async function output(file: string, args: readonly string[]): Promise<string[]> {
  const { stdout } = await execa(file, [...args], { timeout: 20_000 });
  return stdout.split('\n').filter((line) => line.trim() !== '');
}

async function stateOnHost(
  lab: MeshLab,
  spare: readonly Spare[],
): Promise<Record<string, string[]>> {
  const filter = ['--filter', `label=v6.scope=${lab.scope}`];
  const containers = await output('docker', [
    'ps',
    '-a',
    ...filter,
    '--format',
    '{{.Names}} {{.State}}',
  ]);
  const networks = await output('docker', ['network', 'ls', ...filter, '--format', '{{.Name}}']);
  const links = await output('ip', ['-o', 'link', 'show', 'type', 'bridge']);
  const members = await output('ip', ['-o', 'link', 'show', 'type', 'veth']);
  const bridgesOf = new Map(links.map((line) => [line.split(':')[1]?.trim() ?? '', line]));
  const isOurs = (bridge: string) => lab.bridges().has(bridge);
  const isSpare = (text: string) =>
    spare.some((slot) => slot.network === text || slot.bridge === text);
  return {
    containers: containers.toSorted(),
    networks: networks.filter((name) => !isSpare(name)).toSorted(),
    bridges: [...bridgesOf.keys()].filter((name) => isOurs(name) && !isSpare(name)).toSorted(),
    links: members
      .map((line) => / master (\S+)/.exec(line)?.[1] ?? '')
      .filter((bridge) => isOurs(bridge) && !isSpare(bridge))
      .toSorted(),
    routes: (await output('ip', ['-4', 'route', 'show', 'table', 'all'])).filter((line) =>
      [...lab.bridges()].some((bridge) => line.includes(bridge)),
    ),
    rules: await hostRules(lab, spare),
  };
}

/** Lines of the host's firewall that name the lab: its scope, its bridges, its ranges. */
async function hostRules(lab: MeshLab, spare: readonly Spare[]): Promise<string[]> {
  const text = await output('nft', ['list', 'ruleset']);
  const marks = [`${lab.scope}/`, ...lab.bridges(), ...lab.nodes.map(({ range }) => range)];
  return text
    .flatMap((line) => line.split(/(?<=[,{}])/))
    .map((part) => part.replace(/counter packets \d+ bytes \d+/g, 'counter').trim())
    .filter((part) => marks.some((mark) => part.includes(mark)))
    .filter((part) => !spare.some(({ bridge }) => part.includes(bridge)))
    .map((part) => part.replace(/[\s,}]+$/, ''))
    .toSorted();
}

async function leases(lab: MeshLab): Promise<string[]> {
  const { data } = await lab.world.ask('GET', '/run?per_page=500');
  const runs = data as Pick<Run, 'id' | 'ports'>[];
  const ports = runs.flatMap(({ id, ports: list }) =>
    (list ?? []).map(({ port, protocol, label }) => `run ${id} ${protocol} ${port} ${label}`),
  );
  const nodes = await Promise.all(
    lab.nodes.map(async ({ id, name }) => {
      const { ip } = await lab.world.ask('GET', `/node/${id}`);
      return `node ${name} ${String(ip)}`;
    }),
  );
  return [...ports, ...nodes].toSorted();
}

interface Spare {
  readonly index: number;
  readonly network: string;
  readonly bridge: string;
  readonly subnet: string;
}

/** One look into the client's container. */
const LOOK = [
  'nft list table inet v6client',
  'echo @@addresses; ip -o -4 addr | sed "s/^[0-9]*: *//"',
  'echo @@routes; ip -4 route',
  'echo @@relays; ls /run/v6',
  'echo @@flows; conntrack -L 2>/dev/null',
].join('; ');

async function nodeState(
  node: MeshNode,
): Promise<{ spare: Spare[]; lines: Record<string, string[]> }> {
  const { slots } = await node.control.network();
  const spare = slots
    .filter(({ run }) => run === null)
    .map((slot) => ({ ...slot, index: Number(slot.network.split('-').at(-1)) }));
  const look = (await node.inClient(LOOK)).split('@@');
  const part = (name: string): string[] =>
    (look.find((text) => text.startsWith(`${name}\n`)) ?? '').split('\n').slice(1).filter(Boolean);
  const isSpare = (line: string): boolean =>
    spare.some(
      ({ subnet }) => line.includes(subnet.replace(/\.\d+\/\d+$/, '.')) && inSubnet(line, subnet),
    );
  return {
    spare,
    lines: {
      rules: normalizeTable(look[0] ?? ''),
      addresses: part('addresses')
        .map(withoutDevice)
        .filter((line) => !isSpare(line)),
      routes: part('routes')
        .map(withoutDevice)
        .filter((line) => !isSpare(line)),
      relays: part('relays').filter(
        (name) => !spare.some(({ index }) => name === `relay-${index}`),
      ),
      // Flows of runs that live are theirs; those of a slot without a run belong to nobody.
      flows: part('flows').filter(isSpare),
      files: await files(node, spare),
    },
  };
}

function inSubnet(line: string, subnet: string): boolean {
  const start = Number(/\.(\d+)\//.exec(subnet)?.[1]);
  const prefix = subnet.replace(/\.\d+\/\d+$/, '.');
  return [...line.matchAll(/\d+\.\d+\.\d+\.\d+/g)].some(([address]) => {
    const last = Number(address.split('.').at(-1));
    return address.startsWith(prefix) && last >= start && last < start + 8;
  });
}

/** Interfaces get new numbers whenever a network is connected again. */
const withoutDevice = (line: string): string =>
  line
    .replace(/\beth\d+/g, 'eth')
    .replace(/\s+/g, ' ')
    .replace(/ (valid_lft|preferred_lft) \S+/g, '')
    .replaceAll('\\', '')
    .trim();

/** Rules and elements; without counters, and without what is recorded for a time: what was refused, and ports at a client's start. */
export function normalizeTable(text: string): string[] {
  const flat = text
    .replaceAll(/counter packets \d+ bytes \d+/g, 'counter')
    .replaceAll(/,\s+/g, ', ')
    .replaceAll(/\n\t(?:set refused_|map resumed)[\s\S]*?\n\t\}/g, '');
  return flat
    .split('\n')
    .flatMap((line) => {
      const elements = /elements = \{ (.*) \}/.exec(line)?.[1];
      return elements === undefined ? [line.trim()] : elements.split(', ').map((one) => one.trim());
    })
    .filter((line) => line !== '');
}

/** Files of the node, without logs and without the sockets of spare slots. */
async function files(
  { daemon: { context } }: MeshNode,
  spare: readonly Spare[],
): Promise<string[]> {
  const isQuiet = (name: string): boolean =>
    /(^|\/)(log|logs)(\/|$)|\.log$|\.new$/.test(name) ||
    spare.some(({ index }) => name.endsWith(`/slot-${index}.sock`));
  const lists = await Promise.all(
    [context.dataDir, context.runDir].map(async (folder) => {
      const names = await readdir(folder, { recursive: true }).catch(() => [] as string[]);
      return names.map((name) => `${folder.split('/').slice(3).join('/')}/${name}`);
    }),
  );
  return lists
    .flat()
    .filter((name) => !isQuiet(name))
    .toSorted();
}
