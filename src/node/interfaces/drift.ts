/** Something that was not as the node wants it, found by a check. What can be repaired has been repaired when this is returned. */
export interface Drift {
  /** What it is about, in words for a log: `the VPN client's port map`, `slot network v6z-user-alpha-3`. */
  readonly what: string;
  /** What was found there. */
  readonly found: string;
  /** What the node wants there. */
  readonly wanted: string;
  /** Who or what changed it, where that is known. */
  readonly by?: string;
  /** The repair that failed; absent when the repair is done. */
  readonly failure?: Error;
}
