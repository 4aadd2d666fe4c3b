import type { ServerConfig } from '../../core/config/server-config.ts';
import type { Context } from '../../core/context.ts';
import type { ContainerSpec } from '../../core/engine/engine.ts';
import { toV6Error, V6Error } from '../../core/errors.ts';
import { names } from '../../core/labels.ts';
import { awaitReady, type ServerEnd } from './await-ready.ts';
import { type FoundServer, findServer, type ServerHostDeps } from './find-server.ts';
import { localServerUrl, type ServerAddress } from './server-address.ts';
import {
  planServerContainer,
  runArguments,
  type ServerContainerInput,
  STOP_TIMEOUT_SECONDS,
} from './server-container.ts';
import { findRecord, removeRunFolder } from './server-record.ts';

export interface StartServerOnHostInput {
  readonly context: Context;
  readonly config: ServerConfig;
  readonly address: ServerAddress;
  /** Undefined: as a process of its own, without an engine. */
  readonly container:
    | Pick<ServerContainerInput, 'image' | 'user' | 'network' | 'databaseUri'>
    | undefined;
  /** How long to wait for `/health`, ms. */
  readonly waitMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Result of `v6 server start`; with --json the document itself (schemas/server-start.json). */
export interface StartedServer {
  readonly name: string;
  readonly scope: string;
  /** `unchanged`: it ran already. */
  readonly state: 'started' | 'unchanged';
  readonly how: 'container' | 'process';
  /** Name of the container; null for a process. */
  readonly container: string | null;
  /** Null for a container. */
  readonly pid: number | null;
  readonly url: string;
  readonly logFile: string | null;
  /** What somebody should know who started a server that ran already. */
  readonly notes: readonly string[];
}

/** Longest log that a new process goes on with, bytes: as those of our containers. */
const LOG_LIMIT_BYTES = 10_000_000;

/**
 * Starts a server whose configuration was checked, and waits until it is healthy. One that runs is left alone. Throws
 * V6_SERVER_NOT_READY, V6_IMAGE_NOT_FOUND, V6_ENGINE_*, V6_CONFIG_WRITE, V6_NET_PORT_IN_USE, V6_INTERRUPTED, and whatever ended
 * a server that ended at once. Nothing is left after a failure, except of a server that runs and is not healthy yet.
 */
export async function startServerOnHost(
  deps: ServerHostDeps,
  input: StartServerOnHostInput,
): Promise<StartedServer> {
  const found = await findServer(deps, input.context);
  if (found?.running) return keepRunning(deps, input, found);
  if (found?.how === 'container') await deps.engine?.containers.remove(found.container.id);
  await removeRunFolder(deps.files, input.context);
  return input.container === undefined
    ? startProcess(deps, input)
    : startContainer(deps, input, input.container);
}

async function keepRunning(
  deps: ServerHostDeps,
  input: StartServerOnHostInput,
  found: FoundServer,
): Promise<StartedServer> {
  const { context } = input;
  const url = found.url ?? localServerUrl(input.address, input.config);
  await awaitReady(deps, {
    name: context.name,
    url,
    limitMs: input.waitMs,
    ended: () => endOf(deps, context, found.how),
    signal: input.signal,
  });
  const since = found.how === 'process' ? new Date(found.record.since) : found.container.startedAt;
  const changedAt = await deps.files.changedAt(context.configFile);
  const restart = `v6 server stop --name ${context.name}; v6 server start --name ${context.name}`;
  const notes: string[] = [];
  if (since !== undefined && changedAt !== undefined && changedAt > since)
    notes.push(`${context.configFile} was changed after the server started. To use it: ${restart}`);
  if (url !== localServerUrl(input.address, input.config))
    notes.push(`It was started with another address. To move it: ${restart}`);
  if (
    found.how === 'container' &&
    input.container &&
    found.container.image !== input.container.image
  )
    notes.push(`It runs the image of another version. To replace it: ${restart}`);
  return { ...describe(context, found, url), state: 'unchanged', notes };
}

function describe(
  context: Context,
  found: FoundServer,
  url: string,
): Omit<StartedServer, 'state' | 'notes'> {
  const { name, scope } = context;
  return found.how === 'process'
    ? {
        name,
        scope,
        how: 'process',
        container: null,
        pid: found.record.pid,
        url,
        logFile: found.record.logFile ?? null,
      }
    : {
        name,
        scope,
        how: 'container',
        container: found.container.name,
        pid: null,
        url,
        logFile: null,
      };
}

/** Undefined while the server lives. */
async function endOf(
  { engine, ...deps }: ServerHostDeps,
  context: Context,
  how: FoundServer['how'],
): Promise<ServerEnd | undefined> {
  if (how === 'process') {
    return (await findRecord(deps, context)) === undefined ? { exitCode: -1, log: '' } : undefined;
  }
  const state = await engine?.containers.find(names.server(context.name, context.scope));
  if (state === undefined) return { exitCode: -1, log: 'its container was removed' };
  if (state.state === 'running') return undefined;
  const log = (await engine?.containers.logs(state.id, { tail: 200 })) ?? '';
  return { exitCode: state.exitCode, log, engineError: state.error };
}

async function startContainer(
  deps: ServerHostDeps,
  input: StartServerOnHostInput,
  container: NonNullable<StartServerOnHostInput['container']>,
): Promise<StartedServer> {
  const { context, config, address, signal } = input;
  const { engine, files } = deps;
  if (engine === undefined) throw new V6Error('V6_ENGINE_MISSING', 'No container engine runs here');
  if ((await engine.images.find(container.image)) === undefined) {
    throw new V6Error('V6_IMAGE_NOT_FOUND', `The image ${container.image} is not on this machine`, {
      hints: ['Build it: v6 images build', 'Or start without a container: --detached'],
      details: { image: container.image },
    });
  }
  const spec = planServerContainer({ context, config, address, ...container });
  await refuseMissingSources(files, context, spec);
  const made = await files.ensureFolder(context.dataDir);
  const url = localServerUrl(address, config);
  let id: string | undefined;
  try {
    id = await engine.containers.create(spec);
    await engine.containers.start(id);
    await awaitReady(deps, {
      name: context.name,
      url,
      limitMs: input.waitMs,
      ended: () => firstEndOf(engine, spec.name),
      signal,
    });
  } catch (thrown) {
    const error = startError(thrown, input);
    if (error.code === 'V6_SERVER_NOT_READY' && !isOver(error)) throw error;
    if (id !== undefined) {
      await engine.containers.stop(id, STOP_TIMEOUT_SECONDS).catch(() => undefined);
      await engine.containers.remove(id).catch(() => undefined);
    }
    await files.removeEmptyFolders(made);
    throw error;
  }
  const { name, scope } = context;
  return {
    name,
    scope,
    state: 'started',
    how: 'container',
    container: spec.name,
    pid: null,
    url,
    logFile: null,
    notes: [],
  };
}

/** The engine's own words for it name no setting. */
async function refuseMissingSources(
  files: ServerHostDeps['files'],
  { dataDir, configFile }: Context,
  { mounts = [] }: ContainerSpec,
): Promise<void> {
  for (const { source } of mounts) {
    if (source === dataDir || (await files.isThere(source))) continue;
    throw new V6Error('V6_CONFIG_INVALID', `${source} is not there, and ${configFile} names it`, {
      hints: [`Correct uri or tls in ${configFile}, or make it.`],
      details: { file: configFile, path: source },
    });
  }
}

/** The engine starts a server that ended once more; its first end is what counts. */
async function firstEndOf(
  engine: NonNullable<ServerHostDeps['engine']>,
  name: string,
): Promise<ServerEnd | undefined> {
  const state = await engine.containers.find(name);
  if (state === undefined) return { exitCode: -1, log: 'its container was removed' };
  if (state.state === 'running' && state.finishedAt === undefined) return undefined;
  const log = await engine.containers.logs(state.id, { tail: 200 });
  return { exitCode: state.exitCode, log, engineError: state.error };
}

async function startProcess(
  deps: ServerHostDeps,
  input: StartServerOnHostInput,
): Promise<StartedServer> {
  const { context, config, address, signal } = input;
  const { files, logs, processes } = deps;
  const logFile = `${context.logDir}/server_${context.scope}.log`;
  await files.ensureFolder(context.logDir);
  await logs.rotate(logFile, LOG_LIMIT_BYTES);
  const url = localServerUrl(address, config);
  const args = [
    ...runArguments(context),
    '--ip',
    address.ip,
    '--port',
    String(address.port),
    '--log-file',
    logFile,
  ];
  const { length: before } = await logs.read(logFile);
  const spawned = await processes.spawn(args, logFile);
  try {
    await awaitReady(deps, {
      name: context.name,
      url,
      limitMs: input.waitMs,
      ended: async () => {
        const exitCode = spawned.exitCode();
        if (exitCode === undefined) return undefined;
        return { exitCode, log: (await logs.read(logFile)).slice(before) };
      },
      signal,
    });
  } catch (thrown) {
    const error = startError(thrown, input);
    if (error.code === 'V6_SERVER_NOT_READY' && !isOver(error)) throw error;
    processes.signal(spawned.identity, 'SIGTERM');
    await removeRunFolder(files, context);
    throw error;
  }
  const { name, scope } = context;
  return {
    name,
    scope,
    state: 'started',
    how: 'process',
    container: null,
    pid: spawned.identity.pid,
    url,
    logFile,
    notes: [],
  };
}

/** True when the server has ended: then nothing of it is left running. */
const isOver = ({ details }: V6Error): boolean => 'exitCode' in details;

function startError(
  thrown: unknown,
  { signal, context, address }: StartServerOnHostInput,
): V6Error {
  if (signal?.aborted)
    return new V6Error('V6_INTERRUPTED', `The start of the server ${context.name} was interrupted`);
  const error = toV6Error(thrown);
  const { reason } = error.details;
  const { ip, port } = address;
  if (typeof reason === 'string' && /cannot assign requested address/i.test(reason))
    return new V6Error('V6_CONFIG_INVALID', `${ip} is no address of this machine`, {
      cause: error,
      hints: ['Set ip to 0.0.0.0 or to an address that `ip addr` shows.'],
    });
  const isTaken =
    typeof reason === 'string' && /port is already allocated|address already in use/i.test(reason);
  if (!isTaken) return error;
  return new V6Error('V6_NET_PORT_IN_USE', `Port ${port} on ${ip} is taken`, {
    cause: error,
    hints: [`See who has it: ss -ltnp 'sport = :${port}'`, 'Choose another: --port N'],
    details: { ip, port },
  });
}
