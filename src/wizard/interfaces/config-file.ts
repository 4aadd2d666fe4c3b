/** The configuration file of a server as text. */
export interface ConfigFile {
  /** Absolute. */
  readonly file: string;
  /** Throws V6_CONFIG_NOT_FOUND, V6_CONFIG_SYNTAX (not UTF-8: its bytes could not be kept). */
  read(): Promise<ConfigText>;
  /**
   * Puts `text` in the place of what was read, at once or not at all; mode and owner stay, and what was there is kept beside it.
   * Throws V6_CONFIG_WRITE, also when somebody changed the file since it was read.
   */
  replace(read: ConfigText, text: string): Promise<{ readonly backup: string }>;
}

export interface ConfigText {
  readonly text: string;
  /** Permission bits, for instance 0o600. */
  readonly mode: number;
}
