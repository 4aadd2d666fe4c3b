import { whenAborted } from '../../core/abort.ts';
import type { Clock } from '../../core/clock.ts';
import type { Engine } from '../../core/engine/engine.ts';
import type { ClientContainerKeeper } from './client-container.ts';

export interface ClientMonitorDeps {
  readonly engine: Pick<Engine, 'containers'>;
  readonly clock: Clock;
  readonly container: Pick<ClientContainerKeeper, 'name'>;
  readonly signal: AbortSignal;
  /** Whether a change of ours is under way. */
  readonly isChanging: () => boolean;
  /** `now`, unless a change of ours explains it or there was a look at once just now. */
  readonly onChange: (hint: string, urgency: 'now' | 'soon') => void;
}

const RETRY_MS = 1000;
/** What the kernel tells of a change of ours comes a moment after it, ms. */
const ECHO_MS = 500;
/** A client that talks without end gets a look at once this often, ms. */
const QUIET_MS = 1000;

/**
 * Rules, addresses and routes tell when they change; relays are looked at. Ends with its standard input, so that a lost stream
 * leaves no process behind.
 */
const PROGRAM = [
  'exec 3<&0',
  'nft monitor & a=$!',
  'ip -o monitor address route & b=$!',
  'while sleep 1; do for f in /run/v6/relay-*; do [ -s "$f" ] && read -r p <"$f" && ! kill -0 "$p" 2>/dev/null && echo "relay ended"; done; done & c=$!',
  '{ cat <&3 >/dev/null; kill "$a" "$b" "$c"; } &',
  'wait "$a"; kill "$!" "$b" "$c" 2>/dev/null',
].join('\n');

/**
 * Follows what changes inside the VPN client, and asks for a look at it. What is said is a hint only: it comes from a container
 * that may be anybody's. Ends with the signal, never rejects.
 */
export async function monitorClient(deps: ClientMonitorDeps): Promise<void> {
  const { engine, clock, container, signal } = deps;
  const hints = new Hints(deps);
  while (!signal.aborted) {
    try {
      const stream = await engine.containers.openStream(container.name, ['/bin/sh', '-c', PROGRAM]);
      const takeBack = whenAborted(signal, () => stream.close());
      try {
        for await (const line of stream.lines) hints.take(line);
      } finally {
        takeBack();
      }
    } catch {
      // The container or the engine is away; when it is back, all of it is applied anew.
    }
    await clock.sleep(RETRY_MS, signal).catch(() => undefined);
  }
}

class Hints {
  readonly #deps: ClientMonitorDeps;
  #ownUntilMs = 0;
  #quietUntilMs = 0;

  constructor(deps: ClientMonitorDeps) {
    this.#deps = deps;
  }

  take(line: string): void {
    if (line.trim() === '' || line.startsWith('#')) return;
    const nowMs = this.#deps.clock.now().getTime();
    if (this.#deps.isChanging()) this.#ownUntilMs = nowMs + ECHO_MS;
    const canWait = nowMs < this.#ownUntilMs || nowMs < this.#quietUntilMs;
    if (!canWait) this.#quietUntilMs = nowMs + QUIET_MS;
    this.#deps.onChange('something changed in the VPN client', canWait ? 'soon' : 'now');
  }
}
