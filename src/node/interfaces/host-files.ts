/** Files and folders of a node on its host, as the command line needs them. */
export interface HostFiles {
  /** The text of a configuration file. Throws V6_CONFIG_NOT_FOUND: absent (with the names that are there), or not readable. */
  readConfig(file: string): Promise<string>;
  /** Makes a folder with its parents, closed to others. Answers with what it made, outermost first. Throws V6_CONFIG_WRITE. */
  ensureFolder(folder: string): Promise<readonly string[]>;
  /** Removes those of the folders that are empty, innermost first. Absent is fine. */
  removeEmptyFolders(folders: readonly string[]): Promise<void>;
  /** Removes a folder with all that is in it. Absent is fine. */
  removeFolder(folder: string): Promise<void>;
  /** Absent is fine. */
  removeFile(file: string): Promise<void>;
  isThere(path: string): Promise<boolean>;
}
