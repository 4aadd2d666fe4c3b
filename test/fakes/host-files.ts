import { V6Error } from '../../src/core/errors.ts';
import type { HostFiles } from '../../src/node/interfaces/host-files.ts';

/** Files and folders in memory. */
export class FakeHostFiles implements HostFiles {
  readonly configs = new Map<string, string>();
  readonly folders = new Set<string>(['/']);
  readonly others = new Set<string>();
  /** A folder below this path cannot be made. */
  readOnlyRoot: string | undefined;

  async readConfig(file: string): Promise<string> {
    const text = this.configs.get(file);
    if (text === undefined) throw new V6Error('V6_CONFIG_NOT_FOUND', `There is no ${file}`);
    return text;
  }

  async ensureFolder(folder: string): Promise<readonly string[]> {
    if (this.readOnlyRoot !== undefined && folder.startsWith(this.readOnlyRoot))
      throw new V6Error('V6_CONFIG_WRITE', `Cannot make ${folder}`);
    const parts = folder.split('/').filter(Boolean);
    const chain = parts.map((_, at) => `/${parts.slice(0, at + 1).join('/')}`);
    const made = chain.filter((one) => !this.folders.has(one));
    for (const one of made) this.folders.add(one);
    return made;
  }

  async removeEmptyFolders(folders: readonly string[]): Promise<void> {
    for (const folder of folders.toReversed()) {
      const all = [...this.folders, ...this.others];
      if (!all.some((other) => other.startsWith(`${folder}/`))) this.folders.delete(folder);
    }
  }

  async removeFolder(folder: string): Promise<void> {
    for (const set of [this.folders, this.others])
      for (const one of set) if (`${one}/`.startsWith(`${folder}/`)) set.delete(one);
  }

  async removeFile(file: string): Promise<void> {
    this.configs.delete(file);
    this.others.delete(file);
  }

  async isThere(path: string): Promise<boolean> {
    return this.configs.has(path) || this.folders.has(path) || this.others.has(path);
  }
}
