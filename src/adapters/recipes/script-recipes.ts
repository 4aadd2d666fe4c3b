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

  async #run(
    script: string,
    args: readonly string[],
    options: {
      readonly onLine?: ((line: string) => void) | undefined;
      readonly signal?: AbortSignal | undefined;
    },
  ): Promise<Ended> {
    const { execa } = await import('execa');
    const child = execa(process.execPath, [path.join(this.#root, 'scripts', script), ...args], {
      reject: false,
      stdin: 'ignore',
      ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
    });
    const tail: string[] = [];
    for await (const line of child.iterable({ from: 'stderr' })) {
      if (line.trim() === '') continue;
      tail.push(line);
      if (tail.length > 20) tail.shift();
      options.onLine?.(line);
    }
    const ended = await child;
    if (options.signal?.aborted)
      throw new V6Error('V6_INTERRUPTED', 'Building the images was interrupted.', { cause: ended });
    // Without an exit status it was not started, or ended by a signal.
    if (ended.exitCode === undefined)
      throw new V6Error('V6_IMAGE_BUILD', `Could not run scripts/${script}.`, { cause: ended });
    return { status: ended.exitCode, stdout: ended.stdout, tail };
  }
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
