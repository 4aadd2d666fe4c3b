import { homedir } from 'node:os';
import path from 'node:path';
import { systemClock } from '../core/clock.ts';
import type { Context } from '../core/context.ts';
import type { Engine } from '../core/engine/engine.ts';
import { isV6Error, type V6Error } from '../core/errors.ts';
import { V6_VERSION } from '../core/labels.ts';
import { imageReferences } from '../images/references.ts';
import type { ServerHostDeps } from './host/find-server.ts';
import type { ServerUser } from './host/server-container.ts';
import {
  findRecord,
  recordFile,
  removeRunFolder,
  type ServerRecord,
} from './host/server-record.ts';
import type { ServerFiles } from './interfaces/host.ts';

/** What the commands of a server on its host need, and who runs them. */
export interface ServerHost extends ServerHostDeps {
  readonly user: ServerUser;
  /** The image of this very version. Throws V6_IMAGE_NOT_FOUND while it has no content. */
  readonly image: () => string;
}

const FOLDER_VARIABLES = ['HOME', 'XDG_CONFIG_HOME', 'XDG_DATA_HOME', 'XDG_CACHE_HOME'] as const;

/** `root` is oclif's `config.root`. A machine without an engine is fine: servers run as processes there. */
export async function composeServerHost(root: string): Promise<ServerHost> {
  const [{ serverFiles }, { createProcesses }, { serverLogFiles }, { serverProbe }] =
    await Promise.all([
      import('../adapters/server-host/files.ts'),
      import('../adapters/server-host/processes.ts'),
      import('../adapters/server-host/log-files.ts'),
      import('../adapters/server-host/probe.ts'),
    ]);
  return {
    ...(await findEngine()),
    files: serverFiles,
    logs: serverLogFiles,
    processes: createProcesses([process.execPath, entryPoint(root)]),
    probe: serverProbe,
    clock: systemClock,
    user: hostUser(process.env),
    image: () => imageReferences(root).runtime,
  };
}

/** Looking for files needs no engine. */
export async function composeServerFiles(): Promise<ServerFiles> {
  const { serverFiles } = await import('../adapters/server-host/files.ts');
  return serverFiles;
}

/**
 * Leaves word in the run folder that this process is the server, so that `status`, `logs` and `stop` find it however it was
 * started; where that cannot be written (in a container), nobody looks for it. Returns what takes it back.
 */
export async function announceServer(
  context: Context,
  { url, logFile }: { readonly url: string; readonly logFile: string | undefined },
): Promise<() => Promise<void>> {
  const [files, { createProcesses }] = await Promise.all([
    composeServerFiles(),
    import('../adapters/server-host/processes.ts'),
  ]);
  const processes = createProcesses([process.execPath]);
  const { configFile } = context;
  const since = new Date().toISOString();
  const own = { ...processes.own(), version: V6_VERSION };
  const record: ServerRecord = { ...own, url, configFile, since, logFile };
  try {
    // Another server of that name that lives keeps its word.
    if ((await findRecord({ files, processes }, context)) !== undefined) return async () => {};
    await files.write(recordFile(context), JSON.stringify(record));
  } catch (error) {
    if (isV6Error(error, 'V6_CONFIG_WRITE')) return async () => {};
    throw error;
  }
  return () => removeRunFolder(files, context);
}

async function findEngine(): Promise<{
  readonly engine: Engine | undefined;
  readonly engineProblem?: V6Error;
}> {
  const { connectEngine } = await import('../adapters/docker/engine.ts');
  try {
    return { engine: await connectEngine({ env: process.env }) };
  } catch (error) {
    if (isV6Error(error, 'V6_ENGINE_MISSING')) return { engine: undefined };
    if (isV6Error(error)) return { engine: undefined, engineProblem: error };
    throw error;
  }
}

/** The command line as it is here: compiled, or from its sources. */
function entryPoint(root: string): string {
  return path.join(root, 'bin', import.meta.filename.endsWith('.ts') ? 'dev.js' : 'run.js');
}

function hostUser(env: NodeJS.ProcessEnv): ServerUser {
  // Not userInfo(): it throws for an id without an entry in the password file.
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  const folders = FOLDER_VARIABLES.flatMap((name) => {
    const value = env[name] ?? (name === 'HOME' ? homedir() : undefined);
    return value === undefined || value === '' ? [] : [[name, value] as const];
  });
  return { uid, gid, folders: Object.fromEntries(folders) };
}
