import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';

/** The variables of the Docker client that choose a context (docs.docker.com, "Docker contexts"). */
export interface ContextVariables {
  readonly DOCKER_CONFIG?: string | undefined;
  readonly DOCKER_CONTEXT?: string | undefined;
}

async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as unknown;
  } catch {
    // Absent or not readable: the client then behaves as if there were no context.
    return undefined;
  }
}

/**
 * Socket path of the Docker client's current context; undefined when it is the default one or not a unix socket.
 * dockerode knows DOCKER_HOST but no contexts. Layout: `contexts/meta/<sha256 of the name>/meta.json`.
 */
export async function findContextSocket(env: ContextVariables = {}): Promise<string | undefined> {
  const folder = env.DOCKER_CONFIG ?? path.join(homedir(), '.docker');
  const config = (await readJson(path.join(folder, 'config.json'))) as
    | { currentContext?: unknown }
    | undefined;
  const name = env.DOCKER_CONTEXT ?? config?.currentContext;
  if (typeof name !== 'string' || name === '' || name === 'default') return undefined;
  const hash = createHash('sha256').update(name).digest('hex');
  const meta = (await readJson(path.join(folder, 'contexts/meta', hash, 'meta.json'))) as
    | { Endpoints?: { docker?: { Host?: unknown } } }
    | undefined;
  const host = meta?.Endpoints?.docker?.Host;
  return typeof host === 'string' && host.startsWith('unix://') ? host.slice(7) : undefined;
}
