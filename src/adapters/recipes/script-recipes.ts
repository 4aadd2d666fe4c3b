import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { V6Error } from '../../core/errors.ts';
import type { Recipes } from '../../images/interfaces/recipes.ts';

interface Ended {
  readonly status: number;
  readonly stdout: string;
  /** Last lines of stderr. */
  readonly tail: readonly string[];
}

/** The recipes as the programs in `scripts/` of a package, which the bootstrap starts as well. */
export class ScriptRecipes implements Recipes {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async stageBase(options: Parameters<Recipes['stageBase']>[0]): Promise<string> {
    const ended = await this.#run('base-image.mjs', options.isForced ? ['--force'] : [], options);
    const folder = ended.stdout.trim().split('\n').at(-1) ?? '';
    if (ended.status === 0 && folder !== '') return folder;
    const said = ended.tail.at(-1) ?? '';
    throw new V6Error(
      'V6_IMAGE_BUILD',
      `Could not make the root file systems of the images: ${said}`,
      {
        hints: [baseHint(ended)],
        details: { status: ended.status, lines: ended.tail },
      },
    );
  }

  async ensureBundle(options: Parameters<Recipes['ensureBundle']>[0]): Promise<void> {
    // An installed package brings its bundle and neither sources nor esbuild.
    if (!existsSync(path.join(this.#root, 'src', 'commands'))) return;
    const ended = await this.#run('bundle.mjs', ['--if-stale'], options);
    if (ended.status === 0) return;
    throw new V6Error('V6_IMAGE_BUILD', `Could not bundle v6: ${ended.tail[0] ?? 'no output'}`, {
      hints: ['Run `npm run build` and read what it says.'],
      details: { status: ended.status, lines: ended.tail },
    });
  }

  #run(
    script: string,
    args: readonly string[],
    options: {
      readonly onLine?: ((line: string) => void) | undefined;
      readonly signal?: AbortSignal | undefined;
    },
  ): Promise<Ended> {
    return new Promise((resolve, reject) => {
      const file = path.join(this.#root, 'scripts', script);
      const child = spawn(process.execPath, [file, ...args], {
        stdio: ['ignore', 'pipe', 'pipe'],
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
      let stdout = '';
      const tail: string[] = [];
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
        stdout += chunk;
      });
      child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
        for (const line of chunk.split('\n').filter((text) => text.trim() !== '')) {
          tail.push(line);
          if (tail.length > 20) tail.shift();
          options.onLine?.(line);
        }
      });
      child.on('error', (error) => reject(toRunError(script, error, options.signal)));
      child.on('close', (status) => {
        if (options.signal?.aborted) reject(toRunError(script, undefined, options.signal));
        else resolve({ status: status ?? 1, stdout, tail });
      });
    });
  }
}

function toRunError(script: string, cause: unknown, signal: AbortSignal | undefined): V6Error {
  if (signal?.aborted)
    return new V6Error('V6_INTERRUPTED', 'Building the images was interrupted.', { cause });
  return new V6Error('V6_IMAGE_BUILD', `Could not start scripts/${script}.`, { cause });
}

function baseHint(ended: Ended): string {
  switch (ended.status) {
    case 69:
      return 'As root: `apt-get install -y --no-install-recommends mmdebstrap`.';
    case 78:
      return 'The images are made of Debian packages: build them on a Debian-like system, x64 or arm64.';
    default:
      return 'Check that `apt-get update` works on this machine; the lines before the failure stand in the details.';
  }
}
