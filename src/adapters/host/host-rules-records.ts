import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import {
  checkRules,
  type FirewallBackend,
  type HostRemote,
  type HostRules,
} from '../../core/net/host-rules.ts';
import { type Cidr, parseCidr } from '../../core/net/ipv4.ts';
import { isRecord, type Unknowns } from '../../core/protocol/json.ts';
import type { HostRulesRecord, HostRulesRecords } from '../../node/interfaces/host-firewall.ts';

/** What a node has put on its host, in `host-rules.json` of its data folder. */
export function createHostRulesRecords(dataDir: string): HostRulesRecords {
  const file = path.join(dataDir, 'host-rules.json');
  return {
    async find() {
      const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT' || error.code === 'EACCES') return undefined;
        throw error;
      });
      return text === undefined ? undefined : parseRecord(text);
    },
    async save(record) {
      await mkdir(dataDir, { recursive: true });
      await writeFile(`${file}.new`, `${JSON.stringify(record, null, 2)}\n`);
      await rename(`${file}.new`, file);
    },
    remove: () => rm(file, { force: true }),
  };
}

const BACKENDS = ['iptables-nft', 'iptables-legacy', 'nftables', 'none'] as const;

/** A damaged file is as good as none: what is on the host carries our marks. */
function parseRecord(text: string): HostRulesRecord | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (!isRecord(value) || !isRecord(value.wanted)) return undefined;
    const backend = BACKENDS.find((name): name is FirewallBackend => name === value.backend);
    if (backend === undefined || typeof value.at !== 'string') return undefined;
    return {
      wanted: parseWanted(value.wanted),
      backend,
      places: Array.isArray(value.places) ? value.places.map(String) : [],
      at: value.at,
    };
  } catch {
    return undefined;
  }
}

function parseWanted({ owner, uplink, remotes, localRemotes }: Unknowns): HostRules {
  const subnet = (text: unknown): Cidr => parseCidr(String(text), 'host-rules.json');
  return checkRules({
    owner: String(owner),
    ...(isRecord(uplink)
      ? { uplink: { bridge: String(uplink.bridge), subnet: subnet(uplink.subnet) } }
      : {}),
    remotes: parseRemotes(remotes),
    localRemotes: parseRemotes(localRemotes),
  });
}

function parseRemotes(list: unknown): readonly HostRemote[] {
  if (!Array.isArray(list)) return [];
  return list.filter(isRecord).map(({ address, port, protocol }) => ({
    address: String(address),
    port: Number(port),
    protocol: protocol === 'tcp' ? 'tcp' : 'udp',
  }));
}
