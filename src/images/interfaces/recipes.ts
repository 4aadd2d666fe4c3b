import type { LineHandler } from '../kinds.ts';

/** What the recipes in `scripts/` make for the images; both methods leave nothing half done behind. */
export interface Recipes {
  /**
   * Makes the root file systems out of Debian packages, unless they are there (about 5 s and 70 MB of downloads).
   * Returns the folder that holds `vpn.tar` and `runtime.tar`. Throws V6_IMAGE_BUILD with the tool that is missing or the
   * last lines of the one that failed, V6_INTERRUPTED.
   */
  stageBase(options: {
    /** Packages are fetched anew: what a security update of Debian needs. */
    readonly isForced: boolean;
    readonly onLine?: LineHandler | undefined;
    readonly signal?: AbortSignal | undefined;
  }): Promise<string>;
  /** Bundles our sources again when they changed since the last time; nothing where there are no sources. Throws V6_IMAGE_BUILD. */
  ensureBundle(options: { readonly signal?: AbortSignal | undefined }): Promise<void>;
}
