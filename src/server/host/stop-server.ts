import type { Context } from '../../core/context.ts';
import { V6Error } from '../../core/errors.ts';
import type { ProcessIdentity } from '../interfaces/host.ts';
import { findServer, type ServerHostDeps } from './find-server.ts';
import { STOP_TIMEOUT_SECONDS } from './server-container.ts';
import { removeRunFolder } from './server-record.ts';

/** Result for one server of `v6 server stop`. */
export interface StoppedServer {
  readonly name: string;
  readonly scope: string;
  readonly how: 'container' | 'process';
  /** False when it had ended before, or was killed because it took too long. */
  readonly isClean: boolean;
}

const POLL_MS = 100;

/**
 * Stops a server, however it runs; its data and configuration stay. Only a process that is still the one of the record is
 * ended, never another one with its number. Throws V6_SERVER_NOT_RUNNING when there is nothing to stop, V6_ENGINE_*.
 */
export async function stopServer(deps: ServerHostDeps, context: Context): Promise<StoppedServer> {
  const found = await findServer(deps, context);
  const { name, scope } = context;
  if (found === undefined) {
    await removeRunFolder(deps.files, context);
    throw notRunning(context);
  }
  if (found.how === 'process') {
    const isClean = await endProcess(deps, found.record);
    await removeRunFolder(deps.files, context);
    return { name, scope, how: 'process', isClean };
  }
  const { id } = found.container;
  await deps.engine?.containers.stop(id, STOP_TIMEOUT_SECONDS);
  const after = await deps.engine?.containers.find(id);
  await deps.engine?.containers.remove(id);
  await removeRunFolder(deps.files, context);
  const isClean = found.running && [0, 143].includes(after?.exitCode ?? 1);
  return { name, scope, how: 'container', isClean };
}

/** True when it ended by itself. */
async function endProcess(
  { processes, clock }: Pick<ServerHostDeps, 'processes' | 'clock'>,
  identity: ProcessIdentity,
): Promise<boolean> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    processes.signal(identity, signal);
    const endsAt = clock.now().getTime() + STOP_TIMEOUT_SECONDS * 1000;
    while (clock.now().getTime() < endsAt) {
      if (!processes.isAlive(identity)) return signal === 'SIGTERM';
      await clock.sleep(POLL_MS);
    }
  }
  throw new V6Error('V6_SERVER_RUNNING', `Process ${identity.pid} of the server does not end`, {
    hints: [`See what holds it: cat /proc/${identity.pid}/wchan`],
  });
}

/** The server that was asked for is not there. */
export function notRunning({ name, scope }: Pick<Context, 'name' | 'scope'>): V6Error {
  return new V6Error('V6_SERVER_NOT_RUNNING', `The server ${name} (${scope}) is not running`, {
    hints: [
      `Start it: v6 server start --name ${name}${scope === 'user' ? ' --user' : ''}`,
      'See which servers there are: v6 server list',
    ],
    details: { server: name, scope },
  });
}

/** Stops all of them, whatever becomes of one. Throws V6_SERVER_NOT_RUNNING when there are none, and the first failure. */
export async function stopServers(
  deps: ServerHostDeps,
  contexts: readonly Context[],
): Promise<readonly StoppedServer[]> {
  if (contexts.length === 0) {
    throw new V6Error('V6_SERVER_NOT_RUNNING', 'No server runs on this machine', {
      hints: ['The server of a demo is stopped by: v6 demo down'],
    });
  }
  const ends = await Promise.allSettled(contexts.map((context) => stopServer(deps, context)));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  return ends.flatMap((end) => (end.status === 'fulfilled' ? [end.value] : []));
}
