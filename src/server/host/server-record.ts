import type { Context } from '../../core/context.ts';
import { isRecord } from '../../core/protocol/json.ts';
import type { ProcessIdentity, ServerFiles, ServerProcesses } from '../interfaces/host.ts';

/** What `v6 server run` leaves in its run folder while it runs, so that `status`, `logs` and `stop` find it. */
export interface ServerRecord extends ProcessIdentity {
  /** Where this host reaches it, with api path. */
  readonly url: string;
  /** Of v6. */
  readonly version: string;
  readonly configFile: string;
  /** Undefined when its output goes elsewhere (a terminal, systemd's journal). */
  readonly logFile: string | undefined;
  /** ISO 8601. */
  readonly since: string;
}

export const recordFile = ({ runDir }: Pick<Context, 'runDir'>): string => `${runDir}/server.json`;

/** Undefined for a text that is not a record. */
export function parseRecord(text: string): ServerRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(value)) return undefined;
  const { pid, startedAtTick, url, version, configFile, logFile, since } = value;
  if (typeof pid !== 'number' || !Number.isInteger(pid) || pid < 2) return undefined;
  if ([startedAtTick, url, version, configFile, since].some((field) => typeof field !== 'string'))
    return undefined;
  return {
    pid,
    startedAtTick: startedAtTick as string,
    url: url as string,
    version: version as string,
    configFile: configFile as string,
    logFile: typeof logFile === 'string' ? logFile : undefined,
    since: since as string,
  };
}

export interface RecordDeps {
  readonly files: Pick<ServerFiles, 'read' | 'write' | 'removeFolder' | 'removeEmptyFolders'>;
  readonly processes: Pick<ServerProcesses, 'isAlive'>;
}

/** The process of a server that lives; undefined when there is none, or only the record of one that ended. */
export async function findRecord(
  { files, processes }: RecordDeps,
  context: Pick<Context, 'runDir'>,
): Promise<ServerRecord | undefined> {
  const record = parseRecord((await files.read(recordFile(context))) ?? '');
  return record !== undefined && processes.isAlive(record) ? record : undefined;
}

/** The run folder of a server, and those above it that are ours and empty. */
export async function removeRunFolder(
  files: RecordDeps['files'],
  { runDir }: Pick<Context, 'runDir'>,
): Promise<void> {
  await files.removeFolder(runDir);
  const scopeFolder = runDir.slice(0, runDir.lastIndexOf('/'));
  await files.removeEmptyFolders([scopeFolder.slice(0, scopeFolder.lastIndexOf('/')), scopeFolder]);
}
