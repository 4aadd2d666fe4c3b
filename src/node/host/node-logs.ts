import type { Context } from '../../core/context.ts';
import type { Engine } from '../../core/engine/engine.ts';
import { V6Error } from '../../core/errors.ts';
import { names } from '../../core/labels.ts';

export interface LogsInput {
  readonly context: Pick<Context, 'name' | 'scope'>;
  /** Lines from the end; default all. */
  readonly tail?: number;
  /** Go on until the node ends or the signal aborts. */
  readonly follow: boolean;
  readonly signal: AbortSignal;
}

/** Output of a node's daemon, in pieces. Throws V6_NODE_NOT_RUNNING when it has no container. */
export async function* nodeLogs(
  engine: Pick<Engine, 'containers'>,
  { context, tail, follow, signal }: LogsInput,
): AsyncIterable<string> {
  const container = names.node(context.name, context.scope);
  if ((await engine.containers.find(container)) === undefined) {
    throw new V6Error('V6_NODE_NOT_RUNNING', `The node ${context.name} is not running`, {
      hints: [`Start it: v6 node start --name ${context.name}`],
    });
  }
  const { containers } = engine;
  if (!follow) {
    yield await containers.logs(container, tail === undefined ? {} : { tail });
    return;
  }
  // The engine repeats the whole log before it goes on: what was not asked for is passed over.
  let skip = tail === undefined ? 0 : await lengthBefore(containers, container, tail);
  for await (const text of containers.followLogs(container, signal)) {
    if (skip < text.length) yield text.slice(skip);
    skip = Math.max(0, skip - text.length);
  }
}

async function lengthBefore(
  containers: Engine['containers'],
  container: string,
  tail: number,
): Promise<number> {
  const [all, last] = [
    await containers.logs(container),
    await containers.logs(container, { tail }),
  ];
  return Math.max(0, all.length - last.length);
}
