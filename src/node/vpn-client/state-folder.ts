import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { V6Error } from '../../core/errors.ts';
import {
  CLIENT_SETS,
  type ClientElements,
  type ClientSet,
  type Elements,
  parseStateFile,
  renderStateFile,
} from '../../core/vpn/client-elements.ts';
import { renderSlotsState } from '../../core/vpn/rules.ts';
import type { Slot } from '../../core/vpn/slot.ts';
import { type ClientFolders, clientFolders } from './container-spec.ts';

/** The files that the VPN client reads at its start. All are written beside and renamed into place; secrets are 0600. */
export class StateFolder {
  readonly folders: ClientFolders;
  readonly managementSocket: string;

  constructor(runDir: string) {
    this.folders = clientFolders(runDir);
    this.managementSocket = `${this.folders.mgmt}/openvpn.sock`;
  }

  async prepare(): Promise<void> {
    for (const folder of Object.values(this.folders) as string[]) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await chmod(folder, 0o700);
    }
  }

  async saveSlots(slots: readonly Slot[]): Promise<void> {
    await replace(`${this.folders.state}/slots`, renderSlotsState(slots));
  }

  /** A file for each set; where `before` is what the files hold, only those that differ. */
  async saveElements(elements: ClientElements, before?: ClientElements): Promise<void> {
    for (const set of CLIENT_SETS) {
      const text = renderStateFile(elements[set]);
      if (before === undefined || text !== renderStateFile(before[set]))
        await replace(`${this.folders.state}/${set}`, text);
    }
  }

  /** What the files hold: of an earlier daemon. Files that cannot be read hold nothing. */
  async readElements(): Promise<ClientElements> {
    const read = async (set: ClientSet): Promise<Elements> => {
      const text = await readFile(`${this.folders.state}/${set}`, 'utf8').catch(() => '');
      return parseStateFile(set, text);
    };
    return {
      remotes: await read('remotes'),
      ports: await read('ports'),
      receiving: await read('receiving'),
      sending: await read('sending'),
    };
  }

  /** The client config that openvpn has now; undefined when there is none. */
  async findCredential(): Promise<string | undefined> {
    try {
      return await readFile(`${this.folders.client}/client.ovpn`, 'utf8');
    } catch (error) {
      if ((error as { code?: string }).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  async saveCredential(text: string): Promise<void> {
    await replace(`${this.folders.client}/client.ovpn`, text);
  }

  async removeCredential(): Promise<void> {
    await rm(`${this.folders.client}/client.ovpn`, { force: true });
  }

  /** Removes everything but the proxy's sockets, which their listener owns. */
  async remove(): Promise<void> {
    const { client, mgmt, state } = this.folders;
    for (const folder of [client, mgmt, state]) await rm(folder, { recursive: true, force: true });
  }
}

async function replace(file: string, text: string): Promise<void> {
  const draft = `${file}.new`;
  try {
    await rm(draft, { force: true });
    await writeFile(draft, text, { mode: 0o600, flag: 'wx' });
    await rename(draft, file);
  } catch (error) {
    throw new V6Error('V6_VPN_CLIENT_FAILED', `Could not write ${file}`, {
      hints: ['Check that the disk is not full, and who owns the folder.'],
      cause: error,
    });
  }
}
