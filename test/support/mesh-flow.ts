import { readFileSync } from 'node:fs';
import type { Engine, LineStream } from '../../src/core/engine/engine.ts';
import { until } from './wait.ts';

/** Seconds since the machine started: one clock for the test and for all containers. */
export function uptime(): number {
  return Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
}

interface Beat {
  readonly line: string;
  /** When it arrived in the container, seconds of `uptime`. */
  readonly at: number;
}

/** What came over a connection of a flow. */
export interface FlowSeen {
  readonly beats: number;
  /** Lines of an echo that did not follow the one before. */
  readonly lost: number;
  /** The longest time without a line, from `since` or the beginning until now, ms. */
  readonly longestGapMs: number;
  readonly isOpen: boolean;
}

const NUMBERS = 'i=0; while :; do echo $i; i=$((i+1)); sleep 0.1; done';
const STAMP = 'while read -r n; do read -r up rest </proc/uptime; echo "$n $up"; done';

/**
 * A TCP connection out of an algorithm that stays open until `close`, with a line every 100 ms. Of `echo` the lines go there
 * and back; of `feed` the far end sends, and nothing of this end opens the way again.
 */
export class MeshFlow {
  readonly #engine: Engine;
  readonly #container: string;
  readonly #stream: LineStream;
  readonly #kind: 'echo' | 'feed';
  readonly #beats: Beat[] = [];
  #pid = '';
  #isOpen = true;

  private constructor(
    engine: Engine,
    container: string,
    stream: LineStream,
    kind: 'echo' | 'feed',
  ) {
    this.#engine = engine;
    this.#container = container;
    this.#stream = stream;
    this.#kind = kind;
    void this.#read();
  }

  /** Open once the first lines have come. */
  static async open(
    engine: Engine,
    container: string,
    to: string,
    kind: 'echo' | 'feed' = 'echo',
  ): Promise<MeshFlow> {
    const speak = kind === 'echo' ? `(${NUMBERS}) |` : 'sleep 100000 |';
    const line = `echo "pid $$"; ${speak} socat - TCP:${to},connect-timeout=5,nodelay | ${STAMP}; echo closed`;
    const stream = await engine.containers.openStream(container, ['/bin/sh', '-c', line]);
    const flow = new MeshFlow(engine, container, stream, kind);
    await until(`a flow to ${to} runs`, 20_000, () => {
      if (!flow.#isOpen) throw new Error(`the connection to ${to} did not open`);
      return flow.#beats.length >= 2;
    });
    return flow;
  }

  seen(since?: number): FlowSeen {
    const times = this.#beats.map(({ at }) => at);
    const now = this.#isOpen ? [uptime()] : [];
    const from = since ?? times[0] ?? 0;
    // The beat before `since` counts as well: the gap began with it.
    const first = Math.max(
      0,
      times.findLastIndex((at) => at <= from),
    );
    const points = [...times.slice(first), ...now];
    const gaps = points.slice(1).map((at, index) => at - (points[index] ?? at));
    const lost =
      this.#kind === 'echo' ? this.#beats.filter(({ line }, at) => line !== String(at)).length : 0;
    return {
      beats: this.#beats.length,
      lost,
      longestGapMs: Math.round(Math.max(0, ...gaps) * 1000),
      isOpen: this.#isOpen,
    };
  }

  /** Waits until a line that arrived after `since` is there; returns when it arrived. */
  async beatAfter(since: number, limitMs: number): Promise<number> {
    const beat = await until(
      'the flow goes on',
      limitMs,
      () => this.#beats.find(({ at }) => at > since),
      (found) => found !== undefined || !this.#isOpen,
    );
    if (beat === undefined) throw new Error('the flow was dropped');
    return beat.at;
  }

  /** The container may be gone already. */
  async close(): Promise<void> {
    await this.#engine.containers
      .exec(this.#container, ['/bin/sh', '-c', `kill -s KILL -- -${this.#pid}`])
      .catch(() => undefined);
    this.#stream.close();
  }

  async #read(): Promise<void> {
    for await (const text of this.#stream.lines) {
      const [line = '', at = ''] = text.trim().split(' ');
      if (line === 'pid') this.#pid = at;
      else if (line === 'closed') this.#isOpen = false;
      else this.#beats.push({ line, at: Number(at) });
    }
    this.#isOpen = false;
  }
}
