/** Files of the portal, by absolute path. All throw V6_CONFIG_WRITE when the file system refuses. */
export interface PortalFiles {
  /** Undefined when there is no such file. */
  read(path: string): Promise<string | undefined>;
  /** Mode 0600, complete or not at all: written under another name, flushed to disk, renamed into place. */
  write(path: string, text: string): Promise<void>;
  /** A file or a whole folder; absent is fine. */
  remove(path: string): Promise<void>;
  /** A folder with nothing in it; others, and absent ones, are left as they are. */
  removeIfEmpty(folder: string): Promise<void>;
  /** Names in a folder; none when the folder is absent. */
  list(folder: string): Promise<readonly string[]>;
  /** Mode 0700, with its parents. The topmost folder that had to be made; undefined when all were there. */
  ensureFolder(folder: string): Promise<string | undefined>;
}
