import { whenAborted } from '../../core/abort.ts';
import type { Clock } from '../../core/clock.ts';
import type { Engine } from '../../core/engine/engine.ts';
import { isOurBridge } from '../../core/labels.ts';
import type { HostPart } from '../interfaces/host-firewall.ts';
import type { HostContainer } from './host-container.ts';

export interface HostWatchDeps {
  readonly engine: Pick<Engine, 'containers'>;
  readonly container: Pick<HostContainer, 'name'>;
  readonly clock: Clock;
}

/** A burst of changes is one hint. Short beside the second that a repair may take. */
const QUIET_MS = 80;
/** Somebody who changes rules all the time gets a hint this often all the same. */
const BURST_LIMIT_MS = 300;
const RETRY_MS = 1000;
/** How long the author of a change is held to be that of what is found. */
const AUTHOR_MS = 10_000;

/** As `ip -o monitor link` prints the end of a device; a bridge has no `@`. */
const DEVICE_GONE = /^Deleted \d+: ([^:@]+):/;

/** What of all changes on a host may concern us: our table and chain, the engine's chain for users, new chains at our hooks. */
const NEAR_US =
  /\b(v6guard|v6nat|V6-FORWARD|DOCKER-USER|rule ip nat POSTROUTING)\b|^(add|delete) (table|chain) .*\b(hook (forward|input)|FORWARD)\b/;
/** Printed after the changes of one transaction. */
const AUTHOR = /^# new generation \d+ by process (\d+) \(([^)]*)\)/;

/** iptables-legacy tells nobody: where it has tables, what may concern us is compared this often, s. */
const LEGACY_EVERY_S = 2;
/** Printed when that differs. */
const LEGACY_CHANGED = 'legacy changed';

/**
 * Ends with its standard input, so that a lost stream leaves no process behind: nft itself would notice only at the next event. A
 * table that the kernel does not have is not asked for, since that would make it; without NET_RAW the tool says nothing.
 */
const PROGRAM = [
  'exec 3<&0',
  'nft monitor & m=$!',
  'rules() { for t in filter nat; do grep -qsx "$t" /proc/net/ip_tables_names && iptables-legacy-save -t "$t" 2>/dev/null; done; }',
  "near() { rules | grep -e V6-FORWARD -e DOCKER-USER -e '^:FORWARD' -e '^-A POSTROUTING' | sed 's/ \\[.*//'; }",
  `(last=$(near); while sleep ${LEGACY_EVERY_S}; do { read -r _ </proc/net/ip_tables_names; } 2>/dev/null || continue; now=$(near); [ "$now" = "$last" ] || echo "${LEGACY_CHANGED}"; last=$now; done) & l=$!`,
  'ip -o monitor link & b=$!',
  '{ cat <&3 >/dev/null; kill "$m" "$l" "$b"; } &',
  'wait "$m"; kill "$!" "$l" "$b" 2>/dev/null',
].join('\n');

/** Where a change is told to. */
type Told = Readonly<Record<HostPart, Hints>>;

/**
 * Follows what nft says of changes to the host's rules; iptables-nft is nft as well, iptables-legacy is looked at. And what the
 * kernel says of bridges that go.
 */
export class HostWatch {
  readonly #deps: HostWatchDeps;
  #author: { readonly name: string; readonly atMs: number } | undefined;
  #isNear = false;

  constructor(deps: HostWatchDeps) {
    this.#deps = deps;
  }

  /** Who changed rules near ours last, if that was just now. */
  lastAuthor(): string | undefined {
    const isFresh =
      this.#author !== undefined &&
      this.#deps.clock.now().getTime() - this.#author.atMs < AUTHOR_MS;
    return isFresh ? this.#author?.name : undefined;
  }

  start(onChange: (hint: string, of: HostPart) => void, signal: AbortSignal): void {
    const told: Told = {
      rules: new Hints((hint) => onChange(hint, 'rules'), signal),
      bridges: new Hints((hint) => onChange(hint, 'bridges'), signal),
    };
    void this.#follow(told, signal);
  }

  async #follow(told: Told, signal: AbortSignal): Promise<void> {
    const { containers } = this.#deps.engine;
    for (let isFirst = true; !signal.aborted; isFirst = false) {
      try {
        const stream = await containers.openStream(this.#deps.container.name, [
          '/bin/sh',
          '-c',
          PROGRAM,
        ]);
        const takeBack = whenAborted(signal, () => stream.close());
        // What happened while nobody looked is not told again.
        if (!isFirst) told.rules.add('the watch over the host’s rules goes on');
        try {
          for await (const line of stream.lines) this.#read(line, told);
        } finally {
          takeBack();
        }
        // Who looks now brings a container back that was removed.
        if (!signal.aborted) told.rules.add('the watch over the host’s rules was interrupted');
      } catch {
        // The container or the engine is away: whoever checks by time brings the container back.
      }
      await this.#deps.clock.sleep(RETRY_MS, signal).catch(() => undefined);
    }
  }

  #read(line: string, { rules, bridges }: Told): void {
    const [, device] = DEVICE_GONE.exec(line) ?? [];
    if (device !== undefined) {
      if (isOurBridge(device)) bridges.add(`the bridge ${device} went`);
      return;
    }
    if (line === LEGACY_CHANGED) {
      rules.add('the host’s rules of iptables-legacy were changed');
      return;
    }
    const [, process, program] = AUTHOR.exec(line) ?? [];
    if (process === undefined) {
      this.#isNear ||= NEAR_US.test(line);
      return;
    }
    if (!this.#isNear) return;
    this.#isNear = false;
    const name = `${program} (process ${process})`;
    this.#author = { name, atMs: this.#deps.clock.now().getTime() };
    rules.add(`the host’s rules were changed by ${name}`);
  }
}

/** Collects hints until it is quiet for a moment. */
class Hints {
  readonly #onChange: (hint: string) => void;
  #timer: NodeJS.Timeout | undefined;
  #firstAtMs = 0;
  #hint = '';

  constructor(onChange: (hint: string) => void, signal: AbortSignal) {
    this.#onChange = onChange;
    signal.addEventListener('abort', () => clearTimeout(this.#timer), { once: true });
  }

  add(hint: string): void {
    this.#hint ||= hint;
    const now = performance.now();
    if (this.#timer === undefined) this.#firstAtMs = now;
    clearTimeout(this.#timer);
    const leftMs = Math.max(0, this.#firstAtMs + BURST_LIMIT_MS - now);
    this.#timer = setTimeout(() => this.#tell(), Math.min(QUIET_MS, leftMs));
  }

  #tell(): void {
    const hint = this.#hint;
    this.#timer = undefined;
    this.#hint = '';
    this.#onChange(hint);
  }
}
