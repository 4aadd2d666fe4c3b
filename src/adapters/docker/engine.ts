import { Agent } from 'node:http';
import Docker from 'dockerode';
import type { Engine, EngineEvent, EngineInfo } from '../../core/engine/engine.ts';
import { DockerContainers } from './containers.ts';
import { type ContextVariables, findContextSocket } from './endpoint.ts';
import { request } from './errors.ts';
import { engineEvents } from './events.ts';
import { DockerImages } from './images.ts';
import { DockerNetworks } from './networks.ts';

export interface ConnectOptions {
  /** Path of the engine's unix socket; wins over everything else. */
  readonly socketPath?: string;
  /** DOCKER_CONFIG and DOCKER_CONTEXT, where the caller has them. DOCKER_HOST and its kin are read by dockerode itself. */
  readonly env?: ContextVariables;
}

/**
 * The container engine of this machine: by `socketPath`, DOCKER_HOST, the Docker client's current context, or the usual
 * socket, in this order. Asks it once. Throws V6_ENGINE_MISSING, V6_ENGINE_PERMISSION, V6_ENGINE_TIMEOUT.
 */
export async function connectEngine(options: ConnectOptions = {}): Promise<Engine> {
  const docker = await openDocker(options);
  useFreshConnections(docker);
  await request('reach the container engine', () => docker.ping());
  return new DockerEngine(docker);
}

/**
 * A connection of its own for each request, which costs some 0.1 ms: an engine that is stopping still serves old connections,
 * and one that was restarted has broken them.
 */
function useFreshConnections({ modem }: Docker): void {
  const settings = modem as { protocol?: string; agent?: unknown };
  if (settings.protocol === 'http') settings.agent = new Agent({ keepAlive: false });
}

async function openDocker(options: ConnectOptions): Promise<Docker> {
  if (options.socketPath !== undefined) return new Docker({ socketPath: options.socketPath });
  const usual = new Docker();
  // docker-modem keeps a function that looks for the usual socket unless DOCKER_HOST is set.
  const { socketPath } = usual.modem as { socketPath?: unknown };
  if (typeof socketPath !== 'function') return usual;
  const ofContext = await findContextSocket(options.env);
  return ofContext === undefined ? usual : new Docker({ socketPath: ofContext });
}

class DockerEngine implements Engine {
  readonly containers: DockerContainers;
  readonly networks: DockerNetworks;
  readonly images: DockerImages;
  readonly #docker: Docker;

  constructor(docker: Docker) {
    this.#docker = docker;
    this.containers = new DockerContainers(docker);
    this.networks = new DockerNetworks(docker);
    this.images = new DockerImages(docker);
  }

  async info(): Promise<EngineInfo> {
    const info = (await request('ask the container engine', () => this.#docker.info())) as {
      ServerVersion: string;
      LiveRestoreEnabled?: boolean;
      SecurityOptions?: string[];
      FirewallBackend?: { Driver?: string };
    };
    return {
      version: info.ServerVersion.replace(/\+.*$/, ''),
      liveRestore: info.LiveRestoreEnabled ?? false,
      securityOptions: info.SecurityOptions ?? [],
      firewall: info.FirewallBackend?.Driver,
    };
  }

  events(
    labels: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): AsyncIterable<EngineEvent> {
    return engineEvents(this.#docker, labels, new Date(), signal);
  }
}
