import { appendFile } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';
import { expect } from 'vitest';
import { type MeshFlow, uptime } from './mesh-flow.ts';
import type { MeshLab, MeshRun, MeshTask } from './mesh-lab.ts';
import { leaks, type MeshState } from './mesh-state.ts';
import { until } from './wait.ts';

/** A file that gets one line of JSON per drill; `npm run bench -- drills` reads it. Default: none is kept. */
const RECORD = process.env.V6_DRILL_RECORD;
/** How long rules, files and the server may take to be as they were once packets pass again, ms. */
const SETTLE_MS = 8000;
/** Characters of a node's log in a failure. */
const LOG_TAIL = 2500;
/** A flow that nothing happened to has a line every 100 ms; the rest is the machine's load. */
export const UNTOUCHED_MS = 1200;

/**
 * How many times its limit a drill may take. What a machine that others use as well does to one measurement is no fault of what is
 * tested; `V6_DRILL_PATIENCE=1` holds the limits themselves, on a machine that does nothing else.
 */
const PATIENCE = Number(process.env.V6_DRILL_PATIENCE ?? 3);
const LARGEST_STRETCH = 8;

/** A limit as it holds on this machine now: with patience, and longer by as much as its processors are wanted more than they can. */
export function stretched(limitMs: number): number {
  const wanted = (loadavg()[0] ?? 0) / availableParallelism();
  return limitMs * Math.min(Math.max(1, wanted) * PATIENCE, LARGEST_STRETCH);
}

export interface Drill {
  readonly name: string;
  /** Does the damage. */
  readonly hurt: () => Promise<void>;
  /** What shows that the damage is repaired, besides packets and state; cheap, it is asked often. */
  readonly isBack?: () => Promise<boolean>;
  /** From the damage until `isBack`, ms; default: `limitMs`. */
  readonly backMs?: number;
  /** From the damage until `isBack` and until new connections pass in both directions, ms. */
  readonly limitMs: number;
  /** The longest silence that the connections of the task that is hurt may show, ms. Default: none but the load's. */
  readonly gapMs?: number;
  /** The same for the other task; what hits the tunnel hits both. Default: none but the load's. */
  readonly otherGapMs?: number;
  /** Differences that the drill leaves on purpose. */
  readonly allowed?: (leak: string) => boolean;
}

/** What was measured, beside the limits of a machine that does nothing else. */
export interface DrillRecord {
  readonly drill: string;
  readonly recoveryMs: number;
  /** Undefined where the drill is of something that has no limit. */
  readonly limitMs?: number;
  /** The longest silence of a connection of the task that was hurt. */
  readonly gapMs?: number;
  readonly gapLimitMs?: number;
}

/**
 * Two tasks on the two nodes of a lab, each with a connection that stays open: the first from node 1 to node 2, the other one
 * back. A drill damages something, and what it asserts is the same for all: packets pass again in time, neither task lost a
 * connection or a line, and everything is as it was before.
 */
export class DrillGround {
  readonly lab: MeshLab;
  readonly task: MeshTask;
  readonly other: MeshTask;
  readonly #flows: { readonly own: MeshFlow; readonly other: MeshFlow };
  #addresses: { readonly there: string; readonly back: string };

  private constructor(parts: {
    lab: MeshLab;
    task: MeshTask;
    other: MeshTask;
    flows: { own: MeshFlow; other: MeshFlow };
    addresses: { there: string; back: string };
  }) {
    this.lab = parts.lab;
    this.task = parts.task;
    this.other = parts.other;
    this.#flows = parts.flows;
    this.#addresses = parts.addresses;
  }

  static async prepare(lab: MeshLab): Promise<DrillGround> {
    const [task, other] = await Promise.all([
      lab.startTask(lab.nodes.slice(0, 2)),
      lab.startTask(lab.nodes.slice(0, 2)),
    ]);
    const [from, to] = ends(task);
    const [otherTo, otherFrom] = ends(other);
    const own = await lab.openFlow(from, to);
    const back = await lab.openFlow(otherFrom, otherTo);
    // Each node knows of all ports of both tasks from here on: no later reading of a family changes its rules.
    await lab.addressOf(otherTo, otherFrom);
    const addresses = {
      there: await lab.addressOf(from, to),
      back: await lab.addressOf(to, from),
    };
    return new DrillGround({ lab, task, other, flows: { own, other: back }, addresses });
  }

  /** The run of the task on node 1. */
  get near(): MeshRun {
    return ends(this.task)[0];
  }

  /** The run of the task on node 2. */
  get far(): MeshRun {
    return ends(this.task)[1];
  }

  /** New connections of the task in both directions. */
  async passes(): Promise<boolean> {
    const { there, back } = this.#addresses;
    const answers = await Promise.all([
      this.reaches(this.near, there),
      this.reaches(this.far, back),
    ]);
    return answers.every(Boolean);
  }

  /** Whether a new connection passes, with a second's patience. */
  async reaches(from: MeshRun, to: string): Promise<boolean> {
    const line = `printf marker | timeout 2 socat -t 1 - TCP:${to},connect-timeout=1 2>/dev/null`;
    return (await this.lab.shell(from.container, line)) === 'marker';
  }

  async run(drill: Drill): Promise<void> {
    await until(`all is well before: ${drill.name}`, stretched(SETTLE_MS), () => this.passes());
    await this.#untilQuiet();
    const before = await this.lab.snapshot();
    const since = uptime();
    await drill.hurt();
    const back = { ...drill, limitMs: drill.backMs ?? drill.limitMs };
    await this.#until(back, since, async () => (await drill.isBack?.()) ?? true);
    const backMs = (uptime() - since) * 1000;
    await this.#until(drill, since, () => this.passes());
    const recoveryMs = drill.isBack === undefined ? (uptime() - since) * 1000 : backMs;
    await this.expectFlows(since, drill);
    await this.expectSame(before, drill.allowed);
    await recordDrill({
      drill: drill.name,
      recoveryMs,
      limitMs: drill.isBack === undefined ? drill.limitMs : back.limitMs,
      gapMs: this.#flows.own.seen(since).longestGapMs,
      gapLimitMs: drill.gapMs ?? UNTOUCHED_MS,
    });
  }

  /** Both connections live, lost no line, and were silent no longer than the drill allows. */
  async expectFlows(since: number, drill: Pick<Drill, 'gapMs' | 'otherGapMs'>): Promise<void> {
    const limits = {
      own: stretched(drill.gapMs ?? UNTOUCHED_MS),
      other: stretched(drill.otherGapMs ?? UNTOUCHED_MS),
    };
    for (const name of ['own', 'other'] as const) {
      const flow = this.#flows[name];
      // A packet that is lost is sent again, after a time that doubles with each attempt.
      await flow.beatAfter(uptime(), limits[name]);
      const { longestGapMs, lost, isOpen } = flow.seen(since);
      expect({ name, lost, isOpen }).toEqual({ name, lost: 0, isOpen: true });
      expect(longestGapMs, `silence of the ${name} connection, ms`).toBeLessThan(limits[name]);
    }
  }

  /** Nothing of the lab is gone, and nothing was added. */
  async expectSame(
    before: MeshState,
    allowed: (leak: string) => boolean = () => false,
  ): Promise<void> {
    const look = async () =>
      leaks(before, await this.lab.snapshot()).filter((leak) => !allowed(leak));
    let last: readonly string[] = ['never looked'];
    await until('everything is as it was', stretched(SETTLE_MS), async () => {
      last = await look();
      return last.length === 0;
    }).catch(() => undefined);
    expect(last).toEqual([]);
  }

  /** A node that found something wrong waits before it looks again, the longer the more often: a drill begins without that. */
  async #untilQuiet(): Promise<void> {
    await until('the last look of each node found nothing', 40_000, async () => {
      const all = await Promise.all(this.lab.nodes.map(({ control }) => control.status()));
      return all.every(({ network, slots }, at) => {
        // A slot that is being made is known to nobody but the engine.
        if (slots.total - slots.busy < (this.lab.nodes[at]?.spare ?? 0)) return false;
        const { lastCheck = null, lastRepair = null } = network ?? {};
        if (lastRepair === null || lastCheck === null) return true;
        return Date.parse(lastCheck) - Date.parse(lastRepair.at) > 1000;
      });
    });
  }

  async #until(
    { name, limitMs }: Drill,
    since: number,
    isDone: () => Promise<boolean>,
  ): Promise<void> {
    const leftMs = stretched(limitMs) - (uptime() - since) * 1000;
    await until(`recovery from: ${name}`, leftMs, isDone).catch((error: unknown) => {
      const logs = this.lab.nodes.map((node) => `${node.name}: ${node.log().slice(-LOG_TAIL)}`);
      throw new Error(`${String(error)}\n${logs.join('\n')}`, { cause: error });
    });
  }
}

/** The two ends of a task on two nodes. */
function ends({ runs }: MeshTask): [MeshRun, MeshRun] {
  const [first, second] = runs;
  if (first === undefined || second === undefined) throw new Error('a drill needs two runs');
  return [first, second];
}

/** Keeps measured times, whole milliseconds. */
export async function recordDrill(record: DrillRecord): Promise<void> {
  if (RECORD === undefined) return;
  const line = JSON.stringify(record, (_, value: unknown) =>
    typeof value === 'number' ? Math.round(value) : value,
  );
  await appendFile(RECORD, `${line}\n`);
}
