import type { ContainerSpec } from '../core/engine/engine.ts';
import { V6Error } from '../core/errors.ts';
import { labelsFor, names } from '../core/labels.ts';
import type { DemoParts } from './parts.ts';
import { DEMO_PORTS, type DemoPlan } from './plan.ts';
import { localUrl } from './progress.ts';

/** Name of the demo's server: the container is `vantage6-demo-SCOPE-server`. */
const SERVER_NAME = 'demo';
/** Where the server leaves the password of its first user, in the demo's folder. */
export const ROOT_PASSWORD_FILE = 'server/demo/data/root-password';
/** As contextFor('server', 'demo', …) has it. */
export const SERVER_CONFIG_FILE = 'server/demo/config.yaml';
const DATA_FOLDER = 'server/demo/data';
/** A server that is not healthy after this many ms does not come up. */
const HEALTH_LIMIT_MS = 30_000;

export const serverContainerName = (parts: Pick<DemoParts, 'scope'>): string =>
  names.server(SERVER_NAME, parts.scope);

/** The server's container, as the plan wants it. */
export function serverSpec(
  parts: Pick<DemoParts, 'scope' | 'files' | 'images'>,
  plan: DemoPlan,
): ContainerSpec {
  const { root } = parts.files;
  return {
    name: serverContainerName(parts),
    image: parts.images.runtime,
    labels: labelsFor({ kind: 'server', scope: parts.scope, node: SERVER_NAME }),
    command: ['server', 'run', '--name', SERVER_NAME, '--scope', parts.scope],
    // The folders of the demo follow from it, inside as outside.
    env: { XDG_DATA_HOME: parts.files.dataHome, HOME: '/tmp' },
    networks: [{ name: names.uplink(parts.scope, 'net'), address: plan.serverAddress }],
    mounts: [
      {
        source: `${root}/${SERVER_CONFIG_FILE}`,
        target: `${root}/${SERVER_CONFIG_FILE}`,
        readOnly: true,
      },
      { source: `${root}/${DATA_FOLDER}`, target: `${root}/${DATA_FOLDER}` },
    ],
    publish: [
      {
        container: DEMO_PORTS.server,
        host: plan.serverPort,
        hostAddress: '127.0.0.1',
        protocol: 'tcp',
      },
    ],
    capabilities: [],
    readOnlyRoot: true,
    tmpfs: ['/tmp'],
    memoryBytes: 2 * 2 ** 30,
    pids: 512,
    restart: 'unless-stopped',
    stopTimeoutSeconds: 10,
  };
}

/** Starts the server, or keeps the one that runs as planned, and waits until it is healthy. Throws V6_DEMO_NOT_RUNNING with its last lines. */
export async function ensureServerContainer(
  parts: DemoParts,
  plan: DemoPlan,
  signal: AbortSignal,
): Promise<void> {
  const spec = serverSpec(parts, plan);
  const url = localUrl(plan);
  const present = await parts.engine.containers.find(spec.name);
  if (
    present?.state === 'running' &&
    present.image === spec.image &&
    (await parts.host.isHealthy(url))
  )
    return;
  await parts.engine.containers.remove(spec.name);
  await parts.files.makeFolder(DATA_FOLDER);
  const id = await parts.engine.containers.create(spec);
  await parts.engine.containers.start(id);
  const until = parts.clock.now().getTime() + HEALTH_LIMIT_MS;
  while (!(await parts.host.isHealthy(url))) {
    const state = await parts.engine.containers.find(id);
    if (state?.state !== 'running' || parts.clock.now().getTime() > until) {
      const lines = await parts.engine.containers.logs(id, { tail: 5 });
      throw new V6Error(
        'V6_DEMO_NOT_RUNNING',
        `The coordination server did not come up: ${lines.trim()}`,
        {
          hints: [`All of its log: docker logs ${spec.name}`],
        },
      );
    }
    await parts.clock.sleep(100, signal);
  }
}
