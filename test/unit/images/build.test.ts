import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ImageState, Images } from '../../../src/core/engine/engine.ts';
import { V6Error } from '../../../src/core/errors.ts';
import { buildImages } from '../../../src/images/build.ts';
import type { Recipes } from '../../../src/images/interfaces/recipes.ts';
import { findVpnImage, listImages } from '../../../src/images/list.ts';
import { imageReferences } from '../../../src/images/references.ts';

/** Images that were built, with the files and the Dockerfile that the engine was handed. */
class BuilderInMemory implements Pick<Images, 'find' | 'build' | 'list' | 'remove'> {
  readonly images = new Map<string, ImageState>();
  readonly contexts = new Map<string, { files: string[]; dockerfile: string }>();
  readonly folders: string[] = [];
  /** Images whose name was taken by a newer one, by id. */
  readonly nameless = new Map<string, ImageState>();
  failOn: string | undefined;
  isUsed = false;
  #serial = 0;

  async find(reference: string): Promise<ImageState | undefined> {
    return this.images.get(reference) ?? this.nameless.get(reference);
  }

  async remove(reference: string): Promise<void> {
    if (this.isUsed) throw new V6Error('V6_ENGINE_CONFLICT', `${reference} is used`);
    this.nameless.delete(reference);
  }

  async list(labels: Readonly<Record<string, string>>): Promise<readonly ImageState[]> {
    const wanted = Object.entries(labels);
    return [...this.images.values()].filter((image) =>
      wanted.every(([name, value]) => image.labels[name] === value),
    );
  }

  async build({ folder, tags, labels }: Parameters<Images['build']>[0]): Promise<void> {
    const [tag = ''] = tags;
    this.folders.push(folder);
    if (this.failOn !== undefined && tag.startsWith(this.failOn))
      throw new V6Error('V6_IMAGE_BUILD', `Could not build ${tag}: no space left on device`);
    const files = readdirSync(folder, { recursive: true }).map(String).toSorted();
    const dockerfile = readFileSync(path.join(folder, 'Dockerfile'), 'utf8');
    this.contexts.set(tag.replace(/:.*/, ''), { files, dockerfile });
    const replaced = this.images.get(tag);
    if (replaced !== undefined) this.nameless.set(replaced.id, { ...replaced, tags: [] });
    this.#serial += 1;
    this.images.set(tag, {
      id: `sha256:${this.#serial}`,
      tags,
      labels,
      sizeBytes: 1000,
      createdAt: new Date(this.#serial),
      exposedPorts: [],
      digests: [],
    });
  }
}

let root: string;
let engine: { images: BuilderInMemory };
let staged: boolean[];
const recipes: Recipes = {
  stageBase: async ({ isForced }) => {
    staged.push(isForced);
    return path.join(root, 'base');
  },
  ensureBundle: async () => {},
};
const write = (name: string, text: string): void => {
  mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
  writeFileSync(path.join(root, name), text);
};

beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'v6-images-'));
  engine = { images: new BuilderInMemory() };
  staged = [];
  write('package.json', '{}');
  write('scripts/base-image.mjs', 'recipe');
  for (const kind of ['vpn-base', 'runtime-base'])
    write(`images/${kind}/Dockerfile`, 'FROM scratch\n');
  write('images/vpn/Dockerfile', '# comment\nFROM v6-vpn-base\nCOPY files/ /x/\n');
  write('images/vpn/entry.sh', 'start');
  for (const kind of ['runtime', 'echo'])
    write(`images/${kind}/Dockerfile`, 'FROM v6-runtime-base\n');
  write('dist/bundle/bin/run.js', 'code');
  write('dist/bundle/echo/main.mjs', 'echo');
  for (const name of ['vpn.tar', 'runtime.tar']) write(`base/${name}`, name);
});
afterEach(() => rmSync(root, { recursive: true }));

describe('building the images', () => {
  it('makes all of them once, and nothing the second time', async () => {
    const first = await buildImages({ engine, recipes }, { root });
    expect(first.map(({ kind, state }) => [kind, state])).toEqual([
      ['vpn', 'built'],
      ['runtime', 'built'],
      ['echo', 'built'],
    ]);
    const second = await buildImages({ engine, recipes }, { root });
    expect(second).toEqual(first.map((image) => ({ ...image, state: 'present' })));
    expect(staged).toEqual([false]);
    expect(engine.images.images.size).toBe(5);
  });

  it('hands the engine the full name of the base, the scripts, and no Dockerfile among them', async () => {
    await buildImages({ engine, recipes }, { root, only: ['vpn'] });
    const { dockerfile, files } = engine.images.contexts.get('v6-vpn') ?? {};
    expect(dockerfile).toMatch(/^# comment\nFROM v6-vpn-base:[0-9a-f]{12}\nCOPY/);
    expect(files).toEqual(['Dockerfile', 'files', 'files/entry.sh']);
    expect([...engine.images.contexts.keys()]).toEqual(['v6-vpn-base', 'v6-vpn']);
  });

  it('tells the runtime image which images belong to it', async () => {
    await buildImages({ engine, recipes }, { root });
    expect(engine.images.contexts.get('v6-runtime')?.files).toContain('bundle/images.json');
  });

  it('fetches packages anew when forced', async () => {
    await buildImages({ engine, recipes }, { root, only: ['vpn'] });
    const again = await buildImages({ engine, recipes }, { root, only: ['vpn'], isForced: true });
    expect(staged).toEqual([false, true]);
    expect(again.map(({ state }) => state)).toEqual(['built']);
  });

  it('builds the echo image again when its content changed under the same name', async () => {
    await buildImages({ engine, recipes }, { root });
    write('dist/bundle/echo/main.mjs', 'a better echo');
    const again = await buildImages({ engine, recipes }, { root, only: ['echo'] });
    expect(again.map(({ kind, state }) => [kind, state])).toEqual([['echo', 'built']]);
    expect(staged).toEqual([false]);
    expect(engine.images.nameless.size).toBe(0);
  });

  it('keeps the replaced image while a container uses it', async () => {
    await buildImages({ engine, recipes }, { root });
    write('dist/bundle/echo/main.mjs', 'a better echo');
    engine.images.isUsed = true;
    await buildImages({ engine, recipes }, { root, only: ['echo'] });
    expect(engine.images.nameless.size).toBe(1);
  });

  it('passes the engine’s failure on and leaves no folder behind', async () => {
    engine.images.failOn = 'v6-vpn:';
    const build = buildImages({ engine, recipes }, { root });
    await expect(build).rejects.toMatchObject({ code: 'V6_IMAGE_BUILD' });
    expect(engine.images.folders.filter((folder) => existsSync(folder))).toEqual([]);
  });

  it('stops between two images when it is interrupted', async () => {
    const signal = AbortSignal.abort();
    const build = buildImages({ engine, recipes }, { root, signal });
    await expect(build).rejects.toMatchObject({ code: 'V6_INTERRUPTED' });
    expect(engine.images.images.size).toBe(0);
  });
});

describe('listing the images', () => {
  it('marks those that this build uses', async () => {
    await buildImages({ engine, recipes }, { root, only: ['vpn'] });
    const old = imageReferences(root).vpn;
    write('images/vpn/entry.sh', 'start differently');
    await buildImages({ engine, recipes }, { root, only: ['vpn'] });
    const listed = await listImages(engine, root);
    const vpn = listed.filter(({ kind }) => kind === 'vpn');
    expect(vpn.map(({ reference, isCurrent }) => [reference, isCurrent])).toEqual([
      [imageReferences(root).vpn, true],
      [old, false],
    ]);
    expect(listed.filter(({ kind }) => kind === 'vpn-base')).toHaveLength(1);
  });

  it('leaves out what somebody else built on ours', async () => {
    const [built] = await buildImages({ engine, recipes }, { root, only: ['vpn'] });
    const ours = engine.images.images.get(built?.reference ?? '');
    if (ours === undefined) throw new Error('not built');
    engine.images.images.set('site/tools:1', {
      ...ours,
      id: 'sha256:site',
      tags: ['site/tools:1'],
    });
    const listed = await listImages(engine, root);
    expect(listed.map(({ kind }) => kind)).toEqual(['vpn', 'vpn-base']);
  });

  it('is empty where there are none', async () => {
    expect(await listImages(engine, root)).toEqual([]);
  });
});

describe('the image that rules of a host are looked after with', () => {
  const strange = (name: string): void => {
    const labels = { 'v6.image': 'vpn', 'v6.content': 'abc' };
    const image = { id: name, tags: [name], labels, sizeBytes: 1, exposedPorts: [], digests: [] };
    engine.images.images.set(name, { ...image, createdAt: new Date() });
  };

  it('is that of this build, else the newest of ours', async () => {
    await buildImages({ engine, recipes }, { root, only: ['vpn'] });
    const first = imageReferences(root).vpn;
    write('images/vpn/entry.sh', 'start differently');
    expect(await findVpnImage(engine, root)).toBe(first);
    await buildImages({ engine, recipes }, { root, only: ['vpn'] });
    expect(await findVpnImage(engine, root)).toBe(imageReferences(root).vpn);
    const second = imageReferences(root).vpn;
    write('images/vpn/entry.sh', 'start in a third way');
    expect(await findVpnImage(engine, root)).toBe(second);
  });

  it('is none that only has our labels: it gets the host’s network, and a task may have brought it', async () => {
    strange('registry.example.org/evil:1');
    strange('registry.example.org/v6-vpn:1');
    await expect(findVpnImage(engine, root)).rejects.toMatchObject({ code: 'V6_IMAGE_NOT_FOUND' });
    await buildImages({ engine, recipes }, { root, only: ['vpn'] });
    expect(await findVpnImage(engine, root)).toBe(imageReferences(root).vpn);
    write('images/vpn/entry.sh', 'start differently');
    expect(await findVpnImage(engine, root)).toMatch(/^v6-vpn:/);
  });
});
