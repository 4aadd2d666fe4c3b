import type { Context } from '../../core/context.ts';
import type { Engine } from '../../core/engine/engine.ts';
import { findServer, type ServerHostDeps } from './find-server.ts';
import type { ServerRecord } from './server-record.ts';
import { notRunning } from './stop-server.ts';

export interface ServerLogsInput {
  readonly context: Context;
  /** Lines from the end; default all. */
  readonly tail?: number | undefined;
  /** Go on until the server ends or the signal aborts. */
  readonly follow: boolean;
  readonly signal: AbortSignal;
}

/**
 * Output of a server, in pieces. Of a process that has ended, what it left in its log file. Throws V6_SERVER_NOT_RUNNING when
 * there is neither container, process nor file.
 */
export async function* serverLogs(
  deps: ServerHostDeps,
  input: ServerLogsInput,
): AsyncIterable<string> {
  const { context } = input;
  const found = await findServer(deps, context);
  if (found?.how === 'container') {
    if (deps.engine !== undefined)
      yield* ofContainer(deps.engine.containers, found.container.id, input);
    return;
  }
  const file = found?.record.logFile ?? `${context.logDir}/server_${context.scope}.log`;
  if (!(await deps.files.isThere(file))) throw notRunning(context);
  yield await deps.logs.read(file, input.tail);
  if (input.follow && found !== undefined)
    yield* followFile(deps, file, found.record, input.signal);
}

function followFile(
  { logs, processes }: ServerHostDeps,
  file: string,
  record: ServerRecord,
  signal: AbortSignal,
): AsyncIterable<string> {
  return logs.follow(file, signal, () => !processes.isAlive(record));
}

async function* ofContainer(
  containers: Engine['containers'],
  id: string,
  { tail, follow, signal }: ServerLogsInput,
): AsyncIterable<string> {
  if (!follow) {
    yield await containers.logs(id, tail === undefined ? {} : { tail });
    return;
  }
  // The engine repeats the whole log before it goes on: what was not asked for is passed over.
  let skip = tail === undefined ? 0 : await lengthBefore(containers, id, tail);
  for await (const text of containers.followLogs(id, signal)) {
    if (skip < text.length) yield text.slice(skip);
    skip = Math.max(0, skip - text.length);
  }
}

async function lengthBefore(
  containers: Engine['containers'],
  id: string,
  tail: number,
): Promise<number> {
  const all = await containers.logs(id);
  const last = await containers.logs(id, { tail });
  return Math.max(0, all.length - last.length);
}
