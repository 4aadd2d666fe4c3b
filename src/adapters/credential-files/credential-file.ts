import { chmod, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { V6Error } from '../../core/errors.ts';
import type { CredentialStore } from '../../node/interfaces/credential-store.ts';

/** The name that upstream gives it (vantage6 4.14 node/docker/vpn_manager.py), so that its nodes and ours find each other's. */
const FILE = 'vpn-config.ovpn.conf';

/** The client config in `<dataDir>/vpn/vpn-config.ovpn.conf`, 0600 in a folder of 0700. */
export class CredentialFile implements CredentialStore {
  readonly file: string;

  /** `dataDir`: the node's data folder, absolute. */
  constructor(dataDir: string) {
    this.file = path.join(dataDir, 'vpn', FILE);
  }

  async find(): Promise<string | undefined> {
    try {
      return await readFile(this.file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw new V6Error('V6_VPN_CONFIG_INVALID', `Cannot read ${this.file}: ${reasonOf(error)}`, {
        cause: error,
        hints: [`Make it readable for the node, or remove it: a new one is fetched then.`],
        details: { file: this.file },
      });
    }
  }

  async save(clientConfig: string): Promise<void> {
    const draft = `${this.file}.tmp`;
    try {
      await mkdir(path.dirname(this.file), { recursive: true, mode: 0o700 });
      await rm(draft, { force: true });
      // 'wx': never through a link that somebody put there.
      const handle = await open(draft, 'wx', 0o600);
      try {
        await handle.writeFile(clientConfig, 'utf8');
        await handle.sync();
      } finally {
        await handle.close();
      }
      await chmod(draft, 0o600);
      await rename(draft, this.file);
    } catch (error) {
      await rm(draft, { force: true }).catch(() => undefined);
      throw new V6Error('V6_CONFIG_WRITE', `Cannot write ${this.file}: ${reasonOf(error)}`, {
        cause: error,
        hints: ['Check the owner of the folder and the free space of its disk.'],
        details: { file: this.file },
      });
    }
  }

  async remove(): Promise<void> {
    await rm(this.file, { force: true });
  }
}

function reasonOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown reason';
}
