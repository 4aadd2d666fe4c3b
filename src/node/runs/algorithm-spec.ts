import type { NodeConfig } from '../../core/config/node-config.ts';
import type { ContainerSpec } from '../../core/engine/engine.ts';
import { labelsFor, names, type Scope } from '../../core/labels.ts';
import { encodeEnv } from '../../core/protocol/algorithm-env.ts';
import type { TaskDatabase } from '../../core/protocol/entities.ts';
import type { Slot } from '../../core/vpn/slot.ts';
import type { RunFolder } from '../interfaces/run-files.ts';
import { databasesFor } from './algorithm-databases.ts';

/** Name and port under which an algorithm reaches its node's proxy. The name is upstream's. */
export const PROXY = { host: 'proxyserver', port: 8080 } as const;

/** What an image with gosu or a user of its own needs to run unchanged; everything else is dropped. */
const CAPABILITIES = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'SETUID',
  'SETGID',
  'KILL',
  'NET_BIND_SERVICE',
] as const;

/** With the value `true` an image says that it writes nowhere but below /mnt/tmp, /tmp and its output. */
export const READ_ONLY_ROOT_LABEL = 'v6.read-only-root';
/** Counts as memory of the container. Programs may run from it: some languages unpack themselves there. */
const SCRATCH = '/tmp:rw,nosuid,nodev,exec,mode=1777,size=256m';
/** On a host without memory an algorithm goes before the node that could tell of it. */
const OOM_SCORE = 500;

export interface AlgorithmSpecInput {
  readonly scope: Scope;
  readonly node: string;
  readonly run: number;
  readonly image: string;
  /** Labels of the image, by whoever made it. */
  readonly imageLabels?: Readonly<Record<string, string>>;
  readonly databases: readonly TaskDatabase[];
  readonly config: Pick<NodeConfig, 'databases' | 'algorithmEnv' | 'limits' | 'policies'>;
  readonly slot: Slot;
  readonly folder: RunFolder;
}

/**
 * The container of one run. From the server come the image's name and which of the node's databases are asked for, as values
 * of variables; nothing it says adds a mount, a device or a capability. Throws V6_RUN_FAILED for an unknown database.
 */
export function algorithmSpec(input: AlgorithmSpecInput): ContainerSpec {
  const { slot, folder, config } = input;
  const data = `/mnt/data/${folder.name}`;
  const databases = databasesFor(input.databases, config.databases);
  const env = {
    INPUT_FILE: `${data}/input`,
    OUTPUT_FILE: `${data}/output`,
    TOKEN_FILE: `${data}/token`,
    TEMPORARY_FOLDER: '/mnt/tmp',
    HOST: `http://${PROXY.host}`,
    PORT: String(PROXY.port),
    API_PATH: '',
    ...databases.env,
    ...config.algorithmEnv,
  };
  const { memoryBytes, pids, cpus } = config.limits;
  const readOnlyRoot =
    config.policies.readOnlyRoot || input.imageLabels?.[READ_ONLY_ROOT_LABEL] === 'true';
  return {
    name: names.algorithm(input.node, input.run, input.scope),
    image: input.image,
    labels: labelsFor({
      kind: 'algorithm',
      scope: input.scope,
      node: input.node,
      run: input.run,
    }),
    env: Object.fromEntries(Object.entries(env).map(([key, value]) => [key, encodeEnv(value)])),
    networks: [{ name: slot.network, address: slot.algorithm }],
    hosts: { [PROXY.host]: slot.gateway },
    // No resolver: the engine's own would let names leak out past the tunnel.
    dns: ['127.0.0.1'],
    mounts: [
      { source: folder.data, target: data },
      { source: folder.temporary, target: '/mnt/tmp' },
      ...databases.mounts,
    ],
    capabilities: CAPABILITIES,
    restart: 'no',
    ...(readOnlyRoot ? { readOnlyRoot, tmpfs: [SCRATCH] } : {}),
    pids,
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(cpus === undefined ? {} : { cpus }),
    oomScore: OOM_SCORE,
    stopTimeoutSeconds: 1,
  };
}
