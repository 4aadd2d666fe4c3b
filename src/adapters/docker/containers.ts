import { addAbortSignal, type Duplex, type Readable } from 'node:stream';
import type Docker from 'dockerode';
import type { ContainerInspectInfo } from 'dockerode';
import type {
  ContainerSpec,
  ContainerState,
  Containers,
  LineStream,
} from '../../core/engine/engine.ts';
import { V6Error } from '../../core/errors.ts';
import { endpointConfig, toCreateOptions } from './container-spec.ts';
import { hasStatus, longRequest, reasonOf, request, translateEngineError } from './errors.ts';
import { Demultiplexer, followStream, LineCutter, Queue } from './streams.ts';

const MAX_LOG_BYTES = 10 * 1024 * 1024;

/** The engine writes year 1 for "never". */
function dateOf(text: string): Date | undefined {
  return text === '' || text.startsWith('0001-') ? undefined : new Date(text);
}

export function toContainerState(info: ContainerInspectInfo): ContainerState {
  const isRunning = info.State.Running;
  return {
    id: info.Id,
    name: info.Name.replace(/^\//, ''),
    image: info.Config.Image,
    labels: info.Config.Labels ?? {},
    state: info.State.Status as ContainerState['state'],
    exitCode: info.State.ExitCode,
    pid: info.State.Pid,
    startedAt: dateOf(info.State.StartedAt),
    finishedAt: dateOf(info.State.FinishedAt),
    oomKilled: info.State.OOMKilled,
    error: info.State.Error,
    networks: Object.fromEntries(
      Object.entries(info.NetworkSettings.Networks).map(([name, network]) => [
        name,
        isRunning && network.IPAddress ? network.IPAddress : undefined,
      ]),
    ),
  };
}

/** Containers of one engine. */
export class DockerContainers implements Containers {
  readonly #docker: Docker;

  constructor(docker: Docker) {
    this.#docker = docker;
  }

  async create(spec: ContainerSpec): Promise<string> {
    const action = `create the container ${spec.name} from ${spec.image}`;
    // Engine 20.10 takes names of networks that do not exist and fails only at the start.
    const networks = spec.networkMode === undefined ? (spec.networks ?? []) : [];
    await request(action, () =>
      Promise.all(networks.map(({ name }) => this.#docker.getNetwork(name).inspect())),
    );
    const container = await request(action, () =>
      this.#docker.createContainer(toCreateOptions(spec)),
    );
    try {
      for (const { name, address } of networks.slice(1)) {
        await request(`connect ${spec.name} to the network ${name}`, () =>
          this.#docker.getNetwork(name).connect({
            Container: container.id,
            EndpointConfig: endpointConfig(address),
          }),
        );
      }
    } catch (error) {
      await this.remove(container.id).catch(() => undefined);
      throw error;
    }
    return container.id;
  }

  async start(id: string): Promise<void> {
    await request(`start the container ${id}`, async () => {
      try {
        await this.#docker.getContainer(id).start();
      } catch (error) {
        if (!hasStatus(error, 304)) throw error;
      }
    });
  }

  async stop(id: string, timeoutSeconds: number): Promise<void> {
    await request(`stop the container ${id}`, async () => {
      try {
        await this.#docker.getContainer(id).stop({ t: timeoutSeconds });
      } catch (error) {
        if (!hasStatus(error, 304, 404)) throw error;
      }
    });
  }

  async remove(id: string): Promise<void> {
    await request(`remove the container ${id}`, async () => {
      try {
        await this.#docker.getContainer(id).remove({ force: true, v: true });
      } catch (error) {
        if (hasStatus(error, 404)) return;
        // 409: another removal of the same container is under way; it is gone when that one ends.
        if (!hasStatus(error, 409)) throw error;
        await this.#docker
          .getContainer(id)
          .wait({ condition: 'removed' })
          .catch((gone: unknown) => {
            if (!hasStatus(gone, 404)) throw gone;
          });
      }
    });
  }

  async find(id: string): Promise<ContainerState | undefined> {
    const info = await request(`inspect the container ${id}`, () => this.#inspect(id));
    // The engine also answers to a part of an id; we only mean whole names.
    if (info && info.Id !== id && info.Name !== `/${id}` && !isShortId(info.Id, id))
      return undefined;
    return info && toContainerState(info);
  }

  async list(labels: Readonly<Record<string, string>>): Promise<readonly ContainerState[]> {
    return request('list containers', async () => {
      const label = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
      const found = await this.#docker.listContainers({ all: true, filters: { label } });
      const infos = await Promise.all(found.map(({ Id }) => this.#inspect(Id)));
      return infos.filter((info) => info !== undefined).map(toContainerState);
    });
  }

  async wait(id: string, signal?: AbortSignal): Promise<number> {
    const action = `wait for the container ${id}`;
    // The engine begins its answer at once and ends it with the container. The client library waits for ever for the rest of
    // an answer that an engine which goes away breaks off: so it is read here.
    return longRequest(action, async () => {
      const answer = await openWait(this.#docker, id, signal);
      if (signal !== undefined) addAbortSignal(signal, answer);
      let text = '';
      for await (const chunk of answer) text += String(chunk);
      return exitStatusIn(text);
    });
  }

  async kill(id: string, signal: string): Promise<void> {
    await request(`send ${signal} to the container ${id}`, async () => {
      try {
        await this.#docker.getContainer(id).kill({ signal });
      } catch (error) {
        // 409: it does not run. What the signal was to end has ended.
        if (!hasStatus(error, 404, 409)) throw error;
      }
    });
  }

  async unpause(id: string): Promise<void> {
    await request(`let the container ${id} go on`, async () => {
      try {
        await this.#docker.getContainer(id).unpause();
      } catch (error) {
        // 409 or, on older engines, 500: it is not paused.
        if (!hasStatus(error, 404, 409) && !/is not paused/i.test(reasonOf(error))) throw error;
      }
    });
  }

  async logs(id: string, options: { readonly tail?: number } = {}): Promise<string> {
    const frames = await request(`read the log of the container ${id}`, () =>
      this.#docker.getContainer(id).logs({
        follow: false,
        stdout: true,
        stderr: true,
        ...(options.tail === undefined ? {} : { tail: options.tail }),
      }),
    );
    const text = new Demultiplexer().push(frames);
    return text.length > MAX_LOG_BYTES ? text.slice(-MAX_LOG_BYTES) : text;
  }

  async *followLogs(id: string, signal: AbortSignal): AsyncIterable<string> {
    if (signal.aborted) return;
    const action = `follow the log of the container ${id}`;
    const stream = (await request(action, () =>
      this.#docker.getContainer(id).logs({ follow: true, stdout: true, stderr: true }),
    )) as Readable;
    const demultiplexer = new Demultiplexer();
    const pieces = followStream(stream, {
      signal,
      take: (chunk) => [demultiplexer.push(chunk)],
      translate: (error) => translateEngineError(error, action),
    });
    for await (const text of pieces) if (text !== '') yield text;
  }

  async exec(
    id: string,
    command: readonly string[],
  ): Promise<{ readonly exitCode: number; readonly output: string }> {
    return request(`run ${command[0] ?? ''} in the container ${id}`, async () => {
      const exec = await this.#docker
        .getContainer(id)
        .exec({ Cmd: [...command], AttachStdout: true, AttachStderr: true });
      const stream = await exec.start({ hijack: true, stdin: false });
      const demultiplexer = new Demultiplexer();
      let output = '';
      for await (const chunk of stream) output += demultiplexer.push(chunk as Buffer);
      return { exitCode: await exitCodeOf(exec), output };
    });
  }

  async openStream(id: string, command: readonly string[]): Promise<LineStream> {
    const action = `open ${command[0] ?? ''} in the container ${id}`;
    const socket = await request(action, async () => {
      const exec = await this.#docker.getContainer(id).exec({
        Cmd: [...command],
        AttachStdin: true,
        AttachStdout: true,
        AttachStderr: true,
      });
      return exec.start({ hijack: true, stdin: true });
    });
    return lineStream(socket);
  }

  async #inspect(id: string): Promise<ContainerInspectInfo | undefined> {
    try {
      return await this.#docker.getContainer(id).inspect();
    } catch (error) {
      if (hasStatus(error, 404)) return undefined;
      throw error;
    }
  }
}

/** The part of the client library that opens a request without reading its answer. */
interface Modem {
  dial(
    options: Readonly<Record<string, unknown>>,
    callback: (error: Error | null, answer: Readable) => void,
  ): void;
}

function openWait(docker: Docker, id: string, signal?: AbortSignal): Promise<Readable> {
  const options = {
    path: `/containers/${encodeURIComponent(id)}/wait`,
    method: 'POST',
    isStream: true,
    ...(signal === undefined ? {} : { abortSignal: signal }),
    statusCodes: { 200: true, 404: 'no such container', 500: 'server error' },
  };
  return new Promise((resolve, reject) => {
    (docker.modem as unknown as Modem).dial(options, (error, answer) => {
      if (error !== null) reject(error);
      else resolve(answer);
    });
  });
}

/** Throws V6_ENGINE_MISSING for an answer that was broken off. */
function exitStatusIn(text: string): number {
  try {
    const { StatusCode } = JSON.parse(text) as { readonly StatusCode?: unknown };
    if (typeof StatusCode === 'number') return StatusCode;
  } catch {
    // Half an answer.
  }
  throw new V6Error('V6_ENGINE_MISSING', 'The container engine broke its answer off', {
    details: { answer: text.slice(0, 200) },
  });
}

/** Short ids have at least twelve digits (docker ps). */
function isShortId(full: string, id: string): boolean {
  return id.length >= 12 && full.startsWith(id);
}

/** The output may end a moment before the engine knows the status. */
async function exitCodeOf(exec: Docker.Exec): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const { Running, ExitCode } = await exec.inspect();
    if (!Running && ExitCode !== null) return ExitCode;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new V6Error('V6_ENGINE_TIMEOUT', 'A program in a container ended without an exit status');
}

function lineStream(socket: Duplex): LineStream {
  const lines = new Queue<string>(() => socket.destroy());
  const demultiplexer = new Demultiplexer();
  const cutter = new LineCutter();
  const finish = (): void => {
    if (cutter.rest !== '') for (const line of cutter.push('\n')) lines.push(line);
    lines.end();
  };
  socket.on('data', (chunk: Buffer) => {
    for (const line of cutter.push(demultiplexer.push(chunk))) lines.push(line);
  });
  socket.on('end', finish);
  socket.on('close', finish);
  // A lost stream is an end: the caller opens a new one.
  socket.on('error', finish);
  return {
    write: (line) => {
      socket.write(`${line}\n`);
    },
    lines,
    close: () => {
      socket.destroy();
      finish();
    },
  };
}
