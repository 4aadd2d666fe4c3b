import type { ContainerState } from '../../core/engine/engine.ts';
import { LABEL } from '../../core/labels.ts';
import type { Cidr } from '../../core/net/ipv4.ts';
import type { OpenRun } from '../interfaces/coordinator.ts';
import type { RunRecord } from '../interfaces/run-files.ts';
import { slotAt } from '../slots/slot-plan.ts';
import { type EndEvidence, endsOfCompanions } from './end-cause.ts';
import type { RunDeps } from './run-deps.ts';
import type { RunOrigin } from './run-execution.ts';

/** What an earlier daemon left, sorted. */
export interface Recovery {
  /** Slot index → run, of the runs whose container still runs. */
  readonly busySlots: ReadonlyMap<number, number>;
  readonly runs: readonly { readonly open: OpenRun; readonly origin: RunOrigin }[];
}

type Deps = Pick<RunDeps, 'node' | 'engine' | 'files' | 'logger'>;

/** All that is known of one run. */
interface Found {
  readonly open: OpenRun | undefined;
  readonly record: RunRecord | undefined;
  readonly container: ContainerState | undefined;
}

/**
 * Compares what is on this host with the runs that the server holds for open. A run whose container runs is carried on, one
 * whose container ended meanwhile is collected, one that ended unreported is reported; all others that were begun have failed:
 * no algorithm is ever started twice. Containers and files that belong to none of these are removed.
 */
export async function recoverRuns(
  deps: Deps,
  open: readonly OpenRun[],
  range: Cidr,
): Promise<Recovery> {
  const { files } = deps;
  const left = await listContainers(deps);
  const evidence = { absences: [], companions: endsOfCompanions(left) };
  const records = new Map((await files.listRecords()).map((record) => [record.run, record]));
  const busySlots = new Map<number, number>();
  const runs: { open: OpenRun; origin: RunOrigin }[] = [];
  const openIds = new Map(open.map((run) => [run.id, run]));
  const algorithms = byRun(left);
  const all = new Set([...openIds.keys(), ...algorithms.keys(), ...(await files.listRuns())]);
  for (const run of all) {
    const containers = algorithms.get(run) ?? [];
    const found = { open: openIds.get(run), record: records.get(run), container: containers[0] };
    const origin = originOf(deps, found, { busySlots, range, evidence });
    const kept = keptContainer(origin);
    for (const container of containers)
      if (container.id !== kept) await removeContainer(deps, container);
    if (found.open !== undefined && origin !== undefined) {
      if (origin.kind === 'adopted') busySlots.set(origin.record.slot, run);
      runs.push({ open: found.open, origin });
    } else if (found.open === undefined) {
      await removeFiles(deps, run);
    }
  }
  return { busySlots, runs };
}

/** How the run goes on; undefined for one that is not open, or was never begun. */
function originOf(
  deps: Pick<Deps, 'node'>,
  { open, record, container }: Found,
  around: {
    readonly busySlots: ReadonlyMap<number, number>;
    readonly range: Cidr;
    readonly evidence: EndEvidence;
  },
): RunOrigin | undefined {
  if (open === undefined) return undefined;
  if (record?.outcome !== undefined) return { kind: 'unreported', record };
  if (container === undefined || container.state === 'created') {
    if (open.startedAt === null && record === undefined) return undefined;
    // The record is written before the container is made: with it, nobody knows how far the start came.
    const loss = container === undefined && record ? 'gone' : 'never-started';
    return { kind: 'lost', loss, record };
  }
  if (record === undefined) return { kind: 'lost', loss: 'misplaced' };
  if (container.state === 'exited' || container.state === 'dead')
    return { kind: 'ended', record, container, evidence: around.evidence };
  const isFree = !around.busySlots.has(record.slot);
  if (isFree && slotFits(deps, record, container, around.range))
    return { kind: 'adopted', record, container };
  return { kind: 'lost', loss: 'misplaced', record };
}

function keptContainer(origin: RunOrigin | undefined): string | undefined {
  return origin?.kind === 'adopted' || origin?.kind === 'ended' ? origin.container.id : undefined;
}

async function listContainers({ node, engine }: Deps): Promise<readonly ContainerState[]> {
  return engine.containers.list({ [LABEL.scope]: node.scope, [LABEL.node]: node.name });
}

function byRun(containers: readonly ContainerState[]): ReadonlyMap<number, ContainerState[]> {
  const found = new Map<number, ContainerState[]>();
  for (const container of containers) {
    if (container.labels[LABEL.kind] !== 'algorithm') continue;
    const run = Number(container.labels[LABEL.run]);
    found.set(run, [...(found.get(run) ?? []), container]);
  }
  return found;
}

/** A container that cannot be removed is no reason not to start: the runs are looked through again later. */
async function removeContainer({ engine, logger }: Deps, { id, name }: ContainerState) {
  try {
    await engine.containers.remove(id);
    logger.warn('A container that an earlier daemon left was removed', { container: name });
  } catch (error) {
    logger.error('A container that an earlier daemon left cannot be removed', {
      container: name,
      error,
    });
  }
}

async function removeFiles({ files, logger }: Deps, run: number): Promise<void> {
  try {
    await files.remove(run);
  } catch (error) {
    logger.error('The files of a run that has ended cannot be removed', { run, error });
  }
}

function slotFits(
  { node }: Pick<Deps, 'node'>,
  record: RunRecord,
  { networks }: Pick<ContainerState, 'networks'>,
  range: Cidr,
): boolean {
  const slot = slotAt({ scope: node.scope, node: node.name }, range, record.slot);
  return slot.network in networks;
}
