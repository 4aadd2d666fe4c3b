import { LABEL } from '../../core/labels.ts';
import type { Cidr } from '../../core/net/ipv4.ts';
import type { OpenRun } from '../interfaces/coordinator.ts';
import type { RunRecord } from '../interfaces/run-files.ts';
import { slotAt } from '../slots/slot-plan.ts';
import type { RunDeps } from './run-deps.ts';
import type { RunOrigin } from './run-execution.ts';

/** What an earlier daemon left, sorted. */
export interface Recovery {
  /** Slot index → run, of the runs whose container still exists. */
  readonly busySlots: ReadonlyMap<number, number>;
  readonly runs: readonly { readonly open: OpenRun; readonly origin: RunOrigin }[];
}

type Deps = Pick<RunDeps, 'node' | 'engine' | 'files' | 'logger'>;

/**
 * Compares what is on this host with the runs that the server holds for open. A run whose container exists is carried on, one
 * that ended unreported is reported, one of which nothing is left has failed. Containers and files of runs that the server
 * does not know as open are removed.
 */
export async function recoverRuns(
  deps: Deps,
  open: readonly OpenRun[],
  range: Cidr,
): Promise<Recovery> {
  const { node, engine, files, logger } = deps;
  const labels = {
    [LABEL.kind]: 'algorithm',
    [LABEL.scope]: node.scope,
    [LABEL.node]: node.name,
  };
  const containers = await engine.containers.list(labels);
  const records = new Map((await files.listRecords()).map((record) => [record.run, record]));
  const byRun = new Map(open.map((run) => [run.id, run]));
  const busySlots = new Map<number, number>();
  const runs: { open: OpenRun; origin: RunOrigin }[] = [];
  for (const container of containers) {
    const run = byRun.get(Number(container.labels[LABEL.run]));
    const record = run === undefined ? undefined : records.get(run.id);
    const isWhole =
      run !== undefined &&
      record !== undefined &&
      record.outcome === undefined &&
      container.state !== 'created' &&
      !busySlots.has(record.slot) &&
      slotFits(deps, record, container.networks, range);
    if (!isWhole) {
      await engine.containers.remove(container.id);
      logger.warn('A container that an earlier daemon left was removed', {
        container: container.name,
      });
      continue;
    }
    busySlots.set(record.slot, run.id);
    runs.push({ open: run, origin: { kind: 'adopted', record, container } });
    byRun.delete(run.id);
  }
  for (const record of records.values()) {
    const run = byRun.get(record.run);
    if (run !== undefined && record.outcome !== undefined) {
      runs.push({ open: run, origin: { kind: 'unreported', record } });
      byRun.delete(run.id);
    } else if (run === undefined && ![...busySlots.values()].includes(record.run)) {
      await files.remove(record.run);
    }
  }
  for (const run of byRun.values())
    if (run.startedAt !== null) runs.push({ open: run, origin: { kind: 'lost' } });
  return { busySlots, runs };
}

function slotFits(
  { node }: Pick<Deps, 'node'>,
  record: RunRecord,
  networks: Readonly<Record<string, unknown>>,
  range: Cidr,
): boolean {
  const slot = slotAt({ scope: node.scope, node: node.name }, range, record.slot);
  return slot.network in networks;
}
