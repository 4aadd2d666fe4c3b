/** Writes a file that is not there yet. */
export interface NewFile {
  isThere(file: string): Promise<boolean>;
  /**
   * Whole or not at all, with its folder, in this mode. A file that is there is an error unless `overwrite`; then it is kept with
   * the ending `.bak`. Gives the path of that, or undefined. Throws V6_CONFIG_WRITE.
   */
  write(
    file: string,
    text: string,
    options: { readonly mode: number; readonly overwrite: boolean },
  ): Promise<string | undefined>;
}
