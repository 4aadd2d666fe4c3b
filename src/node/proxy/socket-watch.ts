import { watch } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

/** A socket that is replaced is away for a moment, ms; and what somebody does in a loop is looked at this often. */
const SETTLE_MS = 100;

export interface SocketWatch {
  readonly folder: string;
  /** Whether a file of this name should be there and is not. */
  readonly isMissing: (name: string) => Promise<boolean>;
  readonly onMissing: (name: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Tells when a socket of the folder goes, within 0.2 s. A hint only: where the kernel cannot watch, or the folder itself is gone, it
 * is silent. A VPN client may write in the folder, so a name is looked at once however often it changes.
 */
export function watchSockets({ folder, isMissing, onMissing, signal }: SocketWatch): void {
  const looking = new Set<string>();
  const look = async (name: string): Promise<void> => {
    try {
      await setTimeout(SETTLE_MS, undefined, { signal, ref: false });
      looking.delete(name);
      if (await isMissing(name)) onMissing(name);
    } catch {
      // The node stops.
    }
  };
  try {
    const watcher = watch(folder, { signal, persistent: false }, (event, name) => {
      if (event !== 'rename' || name === null || looking.has(name)) return;
      looking.add(name);
      void look(name);
    });
    watcher.on('error', () => watcher.close());
  } catch {
    // No watch: the next check of the network finds it.
  }
}
