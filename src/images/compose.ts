import type { Engine } from '../core/engine/engine.ts';
import {
  type BuildInput,
  type BuildWork,
  type BuiltImage,
  buildImages,
  type ImagesDeps,
  prepareBuild,
} from './build.ts';
import { type ListedImage, listImages } from './list.ts';
import { recipesFolder } from './references.ts';

/** The image use cases, wired to an engine and to the recipes of this package. */
export interface ImagesSide {
  build(input?: Omit<BuildInput, 'root'>): Promise<readonly BuiltImage[]>;
  prepare(input?: Omit<BuildInput, 'root'>): Promise<BuildWork>;
  list(): Promise<readonly ListedImage[]>;
}

/** `engine` where the caller has one already; else this machine's. Throws V6_ENGINE_*. */
export async function composeImages(root: string, engine?: Engine): Promise<ImagesSide> {
  const [{ connectEngine }, { ScriptRecipes }] = await Promise.all([
    import('../adapters/docker/engine.ts'),
    import('../adapters/recipes/script-recipes.ts'),
  ]);
  const used = engine ?? (await connectEngine({ env: process.env }));
  const recipes = (): ImagesDeps => ({
    engine: used,
    recipes: new ScriptRecipes(recipesFolder(root)),
  });
  return {
    build: (input = {}) => buildImages(recipes(), { ...input, root }),
    prepare: (input = {}) => prepareBuild(recipes(), { ...input, root }),
    list: () => listImages(used, root),
  };
}
