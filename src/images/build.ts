import type { Images } from '../core/engine/engine.ts';
import { isV6Error, V6Error } from '../core/errors.ts';
import { LABEL, V6_VERSION } from '../core/labels.ts';
import { withBuildContext } from './context.ts';
import type { Recipes } from './interfaces/recipes.ts';
import {
  type AnyImageKind,
  BASE_OF,
  IMAGE_KINDS,
  IMAGE_LABEL,
  type ImageKind,
  type LineHandler,
} from './kinds.ts';
import { type BuildPlan, isCurrent, planBuild } from './plan.ts';
import { identify } from './references.ts';

export interface ImagesDeps {
  readonly engine: { readonly images: Pick<Images, 'find' | 'build' | 'list' | 'remove'> };
  readonly recipes: Recipes;
}

export interface BuildInput {
  /** Folder of the package (oclif's `config.root`). */
  readonly root: string;
  /** Default: all of them. */
  readonly only?: readonly ImageKind[] | undefined;
  /** Builds what is there as well, from packages fetched anew. */
  readonly isForced?: boolean | undefined;
  readonly onLine?: LineHandler | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface BuiltImage {
  readonly kind: ImageKind;
  readonly reference: string;
  /** `sha256:…` of the engine. */
  readonly id: string;
  readonly sizeBytes: number;
  readonly state: 'built' | 'present';
}

/** One piece of the work, for a task list. */
export interface BuildStep {
  readonly title: string;
  readonly run: (onLine: LineHandler) => Promise<void>;
}

/** The work that is left, and what there will be after it. */
export interface BuildWork {
  readonly steps: readonly BuildStep[];
  finish(): Promise<readonly BuiltImage[]>;
}

/**
 * Sees to it that the engine has the images of this build; a second call changes nothing.
 * Throws V6_IMAGE_BUILD (missing tool, no package archive, the engine's last lines), V6_IMAGE_NOT_FOUND (project not
 * built), V6_ENGINE_*, V6_INTERRUPTED.
 */
export async function buildImages(
  deps: ImagesDeps,
  input: BuildInput,
): Promise<readonly BuiltImage[]> {
  const work = await prepareBuild(deps, input);
  for (const step of work.steps) await step.run(input.onLine ?? (() => {}));
  return work.finish();
}

/** Looks at inputs and engine, and returns the steps that are left to do. */
export async function prepareBuild(deps: ImagesDeps, input: BuildInput): Promise<BuildWork> {
  const wanted = input.only ?? IMAGE_KINDS;
  if (wanted.some((kind) => kind !== 'vpn'))
    await deps.recipes.ensureBundle({ signal: input.signal });
  const current = new Set<AnyImageKind>();
  for (const kind of new Set(wanted.flatMap((kind) => [BASE_OF[kind], kind]))) {
    const identity = identify(input.root, kind);
    if (isCurrent(identity, await deps.engine.images.find(identity.reference))) current.add(kind);
  }
  const plan = planBuild({ wanted, current, isForced: input.isForced ?? false });
  return { steps: stepsOf(deps, input, plan), finish: () => resultOf(deps, input.root, plan) };
}

function stepsOf(deps: ImagesDeps, input: BuildInput, plan: BuildPlan): readonly BuildStep[] {
  let base: string | undefined;
  const stage: BuildStep = {
    title: 'root file systems from Debian packages',
    async run(onLine) {
      const isForced = input.isForced ?? false;
      base = await deps.recipes.stageBase({ isForced, onLine, signal: input.signal });
    },
  };
  const build = plan.build.map((kind) => ({
    title: `image v6-${kind}`,
    run: (onLine: LineHandler) => buildOne(deps, { root: input.root, kind, base }, onLine, input),
  }));
  return plan.build.some((kind) => kind === 'vpn-base' || kind === 'runtime-base')
    ? [stage, ...build]
    : build;
}

async function buildOne(
  deps: ImagesDeps,
  at: { readonly root: string; readonly kind: AnyImageKind; readonly base: string | undefined },
  onLine: LineHandler,
  { signal }: BuildInput,
): Promise<void> {
  if (signal?.aborted) throw new V6Error('V6_INTERRUPTED', 'Building the images was interrupted.');
  const { reference, content } = identify(at.root, at.kind);
  const previous = await deps.engine.images.find(reference);
  await withBuildContext(at, (folder) =>
    deps.engine.images.build({
      folder,
      tags: [reference],
      labels: {
        [LABEL.version]: V6_VERSION,
        [IMAGE_LABEL.kind]: at.kind,
        [IMAGE_LABEL.content]: content,
      },
      onLine,
    }),
  );
  const built = await deps.engine.images.find(reference);
  if (previous !== undefined && previous.id !== built?.id) await removeNameless(deps, previous.id);
}

/** The image that lost its name to a new one; one that a container or another image still uses stays. */
async function removeNameless({ engine }: ImagesDeps, id: string): Promise<void> {
  const image = await engine.images.find(id);
  if (image === undefined || image.tags.length > 0) return;
  await engine.images.remove(id).catch((error: unknown) => {
    if (!isV6Error(error, 'V6_ENGINE_CONFLICT')) throw error;
  });
}

async function resultOf(
  deps: ImagesDeps,
  root: string,
  plan: BuildPlan,
): Promise<readonly BuiltImage[]> {
  const built = new Set<AnyImageKind>(plan.build);
  const kinds = IMAGE_KINDS.filter((kind) => built.has(kind) || plan.present.includes(kind));
  const results: BuiltImage[] = [];
  for (const kind of kinds) {
    const { reference } = identify(root, kind);
    const image = await deps.engine.images.find(reference);
    if (image === undefined)
      throw new V6Error('V6_IMAGE_BUILD', `The image ${reference} is gone after its build.`, {
        hints: ['Something removed it meanwhile; run `npx v6 images build` again.'],
      });
    const state = built.has(kind) ? 'built' : 'present';
    results.push({ kind, reference, id: image.id, sizeBytes: image.sizeBytes, state });
  }
  return results;
}
