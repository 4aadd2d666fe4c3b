import type { DatabaseConfig } from '../../core/config/node-config.ts';
import type { Mount } from '../../core/engine/engine.ts';
import { V6Error } from '../../core/errors.ts';
import type { TaskDatabase } from '../../core/protocol/entities.ts';
import { isRecord, type Unknowns } from '../../core/protocol/json.ts';

export interface AlgorithmDatabases {
  readonly env: Readonly<Record<string, string>>;
  readonly mounts: readonly Mount[];
}

/** Task parameters that upstream hands on, by variable suffix (vantage6 4.14 node/docker/task_manager.py). */
const PARAMETERS = { query: 'QUERY', sheet_name: 'SHEET_NAME', preprocessing: 'PREPROCESSING' };

/**
 * What an algorithm gets to know of the node's databases: the labels of all, and of those that its task asks for the place
 * and type. One that is a path on the host is bound read-only at `/mnt/<label><suffix>`. Throws V6_RUN_FAILED for a label
 * that this node does not have.
 */
export function databasesFor(
  requested: readonly TaskDatabase[],
  available: readonly DatabaseConfig[],
): AlgorithmDatabases {
  const env: Record<string, string> = {
    USER_REQUESTED_DATABASE_LABELS: requested.map(({ label }) => label).join(','),
    DB_LABELS: available.map(({ label }) => label).join(','),
  };
  const mounts: Mount[] = [];
  for (const { label, parameters } of requested) {
    const database = available.find((candidate) => candidate.label === label);
    if (database === undefined) throw unknownDatabase(label, available);
    const prefix = label.toUpperCase();
    const path = pathOf(database.uri);
    const target = path === undefined ? undefined : `/mnt/${label}${suffixOf(database, path)}`;
    if (path !== undefined && target !== undefined)
      mounts.push({ source: path, target, readOnly: true });
    env[`${prefix}_DATABASE_URI`] = target ?? database.uri;
    env[`${prefix}_DATABASE_TYPE`] = database.type;
    const given = parametersOf(parameters);
    for (const [key, suffix] of Object.entries(PARAMETERS)) {
      const value = given[key];
      if (value === undefined || value === null) continue;
      env[`${prefix}_${suffix}`] = typeof value === 'string' ? value : JSON.stringify(value);
    }
  }
  return { env, mounts };
}

function pathOf(uri: string): string | undefined {
  if (uri.startsWith('/')) return uri;
  return uri.startsWith('file:///') ? decodeURIComponent(uri.slice('file://'.length)) : undefined;
}

function suffixOf(database: DatabaseConfig, path: string): string {
  if (database.type === 'folder') return '';
  const name = path.slice(path.lastIndexOf('/') + 1);
  const dot = name.lastIndexOf('.');
  return dot > 0 ? name.slice(dot) : '';
}

function parametersOf(text: string): Unknowns {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : {};
  } catch {
    return {};
  }
}

function unknownDatabase(label: string, available: readonly DatabaseConfig[]): V6Error {
  const labels = available.map((database) => database.label).join(', ') || 'none';
  return new V6Error(
    'V6_RUN_FAILED',
    `The task asks for the database ${JSON.stringify(label)}, which this node does not have`,
    { hints: [`Databases of this node: ${labels}.`], details: { database: label } },
  );
}
