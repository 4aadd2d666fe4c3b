import type { Readable } from 'node:stream';
import type Docker from 'dockerode';
import type { ImageInspectInfo } from 'dockerode';
import type { ImageState, Images } from '../../core/engine/engine.ts';
import { isImageReference } from '../../core/engine/image-reference.ts';
import { V6Error } from '../../core/errors.ts';
import { hasStatus, longRequest, reasonOf, request } from './errors.ts';

interface Progress {
  readonly error?: string;
  readonly stream?: string;
  readonly status?: string;
}

export function toImageState(info: ImageInspectInfo): ImageState {
  return {
    id: info.Id,
    tags: info.RepoTags ?? [],
    labels: info.Config?.Labels ?? {},
    sizeBytes: info.Size,
    createdAt: new Date(info.Created),
    exposedPorts: Object.keys(info.Config?.ExposedPorts ?? {}),
    digests: info.RepoDigests ?? [],
  };
}

/** Images of one engine. */
export class DockerImages implements Images {
  readonly #docker: Docker;

  constructor(docker: Docker) {
    this.#docker = docker;
  }

  async find(reference: string): Promise<ImageState | undefined> {
    // No such image: the client would make another request of it, and follow the engine's answer to any host.
    if (!isImageReference(reference)) return undefined;
    return request(`inspect the image ${reference}`, () => this.#inspect(reference));
  }

  async list(labels: Readonly<Record<string, string>>): Promise<readonly ImageState[]> {
    return request('list images', async () => {
      const label = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
      const found = await this.#docker.listImages({ filters: { label } });
      const infos = await Promise.all(found.map(({ Id }) => this.#inspect(Id)));
      return infos.filter((info) => info !== undefined);
    });
  }

  async pull(reference: string, signal?: AbortSignal): Promise<void> {
    const refused = (reason: string, cause?: unknown): V6Error =>
      new V6Error('V6_IMAGE_NOT_FOUND', `Could not pull the image ${reference}: ${reason}`, {
        hints: ['Check the name, and that this machine reaches the registry.'],
        details: { reason },
        cause,
      });
    if (!isImageReference(reference)) throw refused('this is no name of an image');
    await longRequest(`pull the image ${reference}`, async () => {
      let stream: Readable;
      try {
        stream = (await this.#docker.pull(
          reference,
          signal ? { abortSignal: signal } : {},
        )) as Readable;
      } catch (error) {
        // No status: the engine itself is away, which is no fault of the image.
        if ((error as { statusCode?: number }).statusCode === undefined) throw error;
        throw refused(reasonOf(error), error);
      }
      const last = await this.#progress(stream, () => {});
      if (last.error !== undefined) throw refused(last.error);
    });
  }

  async build(options: Parameters<Images['build']>[0]): Promise<void> {
    const tail: string[] = [];
    const onProgress = (part: Progress): void => {
      for (const line of (part.stream ?? part.error ?? '').split('\n')) {
        if (line.trim() === '') continue;
        tail.push(line);
        if (tail.length > 12) tail.shift();
        options.onLine?.(line);
      }
    };
    await longRequest(`build an image from ${options.folder}`, async () => {
      const stream = (await this.#docker.buildImage(
        { context: options.folder, src: ['.'] },
        {
          // The engine takes several tags; the types know one.
          t: [...options.tags] as unknown as string,
          labels: { ...options.labels },
          networkmode: 'none',
          rm: true,
          forcerm: true,
        },
      )) as Readable;
      const last = await this.#progress(stream, onProgress);
      if (last.error === undefined) return;
      throw new V6Error(
        'V6_IMAGE_BUILD',
        `Could not build ${options.tags[0] ?? options.folder}: ${last.error}`,
        { hints: ['The last lines of the build stand in the details.'], details: { lines: tail } },
      );
    });
  }

  async remove(reference: string): Promise<void> {
    if (!isImageReference(reference)) return;
    await request(`remove the image ${reference}`, async () => {
      try {
        await this.#docker.getImage(reference).remove();
      } catch (error) {
        if (!hasStatus(error, 404)) throw error;
      }
    });
  }

  /** The last element that carries an error, or the last one: dockerode does not report errors in the stream itself. */
  #progress(stream: Readable, onPart: (part: Progress) => void): Promise<Progress> {
    return new Promise((resolve, reject) => {
      this.#docker.modem.followProgress(
        stream,
        (error: Error | null, parts: Progress[]) => {
          if (error) reject(error);
          else resolve(parts.findLast((part) => part.error !== undefined) ?? parts.at(-1) ?? {});
        },
        onPart,
      );
    });
  }

  async #inspect(reference: string): Promise<ImageState | undefined> {
    try {
      return toImageState(await this.#docker.getImage(reference).inspect());
    } catch (error) {
      if (hasStatus(error, 404)) return undefined;
      throw error;
    }
  }
}
