import { readdir, readFile } from 'node:fs/promises';
import { execa } from 'execa';

/** What v6 could leave behind on a host, as sorted lines per kind: compare two of them with toEqual. */
export type HostState = Readonly<Record<string, readonly string[]>>;

async function lines(file: string, args: readonly string[]): Promise<string[]> {
  const { stdout, exitCode, stderr } = await execa(file, [...args], {
    reject: false,
    timeout: 20_000,
  });
  if (exitCode !== 0)
    throw new Error(`${file} ${args.join(' ')} ended with ${exitCode}: ${stderr}`);
  return stdout.split('\n').filter((line) => line.trim() !== '');
}

const sorted = (list: readonly string[]): string[] => list.toSorted();

/** The engine's jump to the chain that it leaves to users, as iptables-save and nft print it. */
const ENGINE_JUMPS = ['-A FORWARD -j DOCKER-USER', 'counter jump DOCKER-USER'];

/**
 * Rules without what changes by itself: comments, counters, handles, the times that iptables-save prints, and further copies
 * of the engine's own jump, which an engine that was killed leaves behind and its successor moves about.
 */
export function normalizeRules(text: readonly string[]): string[] {
  const seen = new Set<string>();
  const isCopy = (line: string): boolean => {
    const rule = line.trim();
    if (!ENGINE_JUMPS.includes(rule)) return false;
    if (seen.has(rule)) return true;
    seen.add(rule);
    return false;
  };
  return text
    .filter((line) => !line.startsWith('#'))
    .map((line) =>
      line
        .replace(/\[\d+:\d+\]/g, '[0:0]')
        .replace(/counter packets \d+ bytes \d+/g, 'counter')
        .replace(/ # handle \d+/g, '')
        .replace(/ comment "[^"]*"/g, '')
        .replace(/ --comment (?:"[^"]*"|\S+)/g, '')
        .trimEnd(),
    )
    .filter((line) => !isCopy(line));
}

/** Order inside a rule set matters, so these lines stay as they stand. */
async function rules(): Promise<{ iptables: string[]; nft: string[] }> {
  // Only the nft variant: the legacy tool creates its tables by looking at them.
  const iptables = normalizeRules(await lines('iptables-nft-save', []));
  const nft = normalizeRules(await lines('nft', ['list', 'ruleset'])).filter(
    (line) => !line.startsWith('# Warning'),
  );
  return { iptables, nft };
}

async function processes(): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    const words = command.split('\0').filter((word) => word !== '');
    if (
      /(^|\/)(openvpn|socat|tini)$/.test(words[0] ?? '') ||
      words.some((word) => /^\/app\/bin\/run\.js$/.test(word))
    ) {
      found.push(words.slice(0, 4).join(' '));
    }
  }
  return sorted(found);
}

async function folder(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true }).catch(() => [] as string[]);
  return sorted(entries.map((entry) => `${path}/${entry}`));
}

async function settings(): Promise<string[]> {
  const files = [
    'net/ipv4/ip_forward',
    'net/bridge/bridge-nf-call-iptables',
    'net/core/rmem_max',
    'net/core/wmem_max',
  ];
  return Promise.all(
    files.map(
      async (file) =>
        `${file}=${(await readFile(`/proc/sys/${file}`, 'utf8').catch(() => 'absent')).trim()}`,
    ),
  );
}

/**
 * The host as it is: containers, networks, volumes, links, addresses, routes, rules, settings, processes of ours, and the
 * given folders (absolute paths). Images stay out: they are kept on purpose.
 */
export async function hostState(folders: readonly string[] = ['/run/v6']): Promise<HostState> {
  const { iptables, nft } = await rules();
  return {
    containers: sorted(
      await lines('docker', [
        'ps',
        '-a',
        '--no-trunc',
        '--format',
        '{{.ID}} {{.Names}} {{.Image}}',
      ]),
    ),
    networks: sorted(
      await lines('docker', [
        'network',
        'ls',
        '--no-trunc',
        '--format',
        '{{.ID}} {{.Name}} {{.Driver}}',
      ]),
    ),
    volumes: sorted(await lines('docker', ['volume', 'ls', '--format', '{{.Name}}'])),
    links: sorted(
      (await lines('ip', ['-o', 'link'])).map(
        (line) => line.split(':')[1]?.trim().split('@')[0] ?? line,
      ),
    ),
    routes: sorted(
      (await lines('ip', ['-4', 'route', 'show', 'table', 'all'])).map((line) => line.trim()),
    ),
    iptables,
    nft,
    settings: await settings(),
    processes: await processes(),
    folders: (await Promise.all(folders.map(folder))).flat(),
  };
}
