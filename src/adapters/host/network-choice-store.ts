import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Cidr, parseCidr } from '../../core/net/ipv4.ts';
import { isRecord } from '../../core/protocol/json.ts';
import type { NetworkChoice, NetworkChoiceStore } from '../../node/interfaces/host-view.ts';

/** The chosen ranges in `networks.json` of the node's data folder. */
export function createNetworkChoiceStore(dataDir: string): NetworkChoiceStore {
  const file = path.join(dataDir, 'networks.json');
  return {
    async find() {
      const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return undefined;
        throw error;
      });
      return text === undefined ? undefined : parseChoice(text);
    },
    async save(choice) {
      await mkdir(dataDir, { recursive: true });
      await writeFile(`${file}.new`, `${JSON.stringify(choice, null, 2)}\n`);
      await rename(`${file}.new`, file);
    },
  };
}

/** A damaged file is as good as none: a new choice is made. */
function parseChoice(text: string): NetworkChoice | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (!isRecord(value)) return undefined;
    return {
      isolatedRange: cidr(value.isolatedRange),
      uplinkSubnet: value.uplinkSubnet === undefined ? undefined : cidr(value.uplinkSubnet),
    };
  } catch {
    return undefined;
  }
}

const cidr = (value: unknown): Cidr => parseCidr(String(value), 'networks.json');
