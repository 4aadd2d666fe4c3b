import type { Clock } from '../../core/clock.ts';
import type { Context } from '../../core/context.ts';
import type { ContainerState, Engine } from '../../core/engine/engine.ts';
import type { V6Error } from '../../core/errors.ts';
import { LABEL } from '../../core/labels.ts';
import type {
  ServerFiles,
  ServerLogFiles,
  ServerProbe,
  ServerProcesses,
} from '../interfaces/host.ts';
import { findServerContainer } from './server-container.ts';
import { findRecord, type ServerRecord } from './server-record.ts';

/** What the commands of a server on its host need. */
export interface ServerHostDeps {
  /** Undefined where no engine runs. */
  readonly engine: Pick<Engine, 'containers' | 'images'> | undefined;
  /** Why an engine that is there cannot be asked; it is thrown where the answer matters. */
  readonly engineProblem?: V6Error | undefined;
  readonly files: ServerFiles;
  readonly logs: ServerLogFiles;
  readonly processes: ServerProcesses;
  readonly probe: ServerProbe;
  readonly clock: Clock;
}

/** How a server is there: as a process that lives, or as a container in any state. */
export type FoundServer = {
  /** False for a container that ended, or was made and never started. */
  readonly running: boolean;
  readonly url: string | undefined;
  /** Of v6, that it was started with. */
  readonly version: string | undefined;
} & (
  | { readonly how: 'process'; readonly record: ServerRecord }
  | { readonly how: 'container'; readonly container: ContainerState }
);

const ALIVE: ReadonlySet<ContainerState['state']> = new Set(['running', 'restarting', 'paused']);

/** Undefined when nothing of that name is there. Throws V6_ENGINE_* when an engine is there and cannot be asked. */
export async function findServer(
  deps: Pick<ServerHostDeps, 'engine' | 'engineProblem' | 'files' | 'processes'>,
  context: Pick<Context, 'name' | 'scope' | 'runDir'>,
): Promise<FoundServer | undefined> {
  const record = await findRecord(deps, context);
  if (record !== undefined) {
    const { url, version } = record;
    return { how: 'process', running: true, record, url, version };
  }
  if (deps.engineProblem !== undefined) throw deps.engineProblem;
  const container =
    deps.engine === undefined ? undefined : await findServerContainer(deps.engine, context);
  if (container === undefined) return undefined;
  const running = ALIVE.has(container.state);
  const { [LABEL.url]: url, [LABEL.version]: version } = container.labels;
  return { how: 'container', running, container, url, version };
}
