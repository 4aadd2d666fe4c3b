import { existsSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { V6Error } from '../core/errors.ts';
import { type AnyImageKind, BASE_OF } from './kinds.ts';
import {
  bundleFolder,
  FROZEN_FILE,
  identify,
  imageReferences,
  recipesFolder,
} from './references.ts';

/**
 * Makes the folder that the engine builds an image from, hands it to `use` and removes it again.
 * `base` is the folder of the staged root file systems; only bases need it.
 */
export async function withBuildContext<T>(
  input: { readonly root: string; readonly kind: AnyImageKind; readonly base: string | undefined },
  use: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'v6-image-'));
  try {
    await writeDockerfile(input.root, input.kind, folder);
    await addInputs(input, folder);
    return await use(folder);
  } finally {
    await fs.rm(folder, { recursive: true, force: true });
  }
}

async function writeDockerfile(root: string, kind: AnyImageKind, folder: string): Promise<void> {
  const file = path.join(recipesFolder(root), 'images', kind, 'Dockerfile');
  const text = await fs.readFile(file, 'utf8');
  const base = kind === 'vpn-base' || kind === 'runtime-base' ? undefined : BASE_OF[kind];
  const whole =
    base === undefined
      ? text
      : text.replace(`FROM v6-${base}\n`, `FROM ${identify(root, base).reference}\n`);
  await fs.writeFile(path.join(folder, 'Dockerfile'), whole);
}

async function addInputs(
  input: { readonly root: string; readonly kind: AnyImageKind; readonly base: string | undefined },
  folder: string,
): Promise<void> {
  const { root, kind, base } = input;
  const recipes = recipesFolder(root);
  switch (kind) {
    case 'vpn-base':
      return addRootFileSystem(base, 'vpn.tar', folder);
    case 'runtime-base':
      await addRootFileSystem(base, 'runtime.tar', folder);
      return addNode(recipes, folder);
    case 'vpn':
      return addScripts(path.join(recipes, 'images/vpn'), path.join(folder, 'files'));
    case 'runtime': {
      const bundle = path.join(folder, 'bundle');
      await copyReadable(bundleFolder(root), bundle);
      const { vpn, runtime, echo } = imageReferences(root);
      await fs.writeFile(path.join(bundle, FROZEN_FILE), JSON.stringify({ vpn, runtime, echo }));
      return;
    }
    case 'echo':
      return addEcho(root, folder);
  }
}

async function addRootFileSystem(
  base: string | undefined,
  name: string,
  folder: string,
): Promise<void> {
  if (base === undefined) throw new Error(`No staged root file system for ${name}.`);
  await linkOrCopy(path.join(base, name), path.join(folder, 'rootfs.tar'));
}

async function addNode(recipes: string, folder: string): Promise<void> {
  const pinned = path.join(recipes, 'node_modules', `node-linux-${process.arch}`, 'bin/node');
  // Installed as somebody's dependency, the pinned Node may stand elsewhere: it is what runs us.
  const binary = existsSync(pinned) ? pinned : process.execPath;
  await linkOrCopy(binary, path.join(folder, 'node'));
}

async function addScripts(from: string, to: string): Promise<void> {
  await copyReadable(from, to);
  await fs.rm(path.join(to, 'Dockerfile'), { force: true });
  for (const name of await fs.readdir(to))
    if (name.endsWith('.sh')) await fs.chmod(path.join(to, name), 0o755);
}

async function addEcho(root: string, folder: string): Promise<void> {
  const file = path.join(bundleFolder(root), 'echo/main.mjs');
  if (!existsSync(file))
    throw new V6Error('V6_IMAGE_NOT_FOUND', `The echo image has no content yet: ${file}.`, {
      hints: ['Run `npm run build`, then `npx v6 images build`.'],
    });
  await fs.copyFile(file, path.join(folder, 'main.mjs'));
}

/** Copies a folder so that its modes do not depend on the umask of whoever made the clone: images are equal then. */
async function copyReadable(from: string, to: string): Promise<void> {
  await fs.cp(from, to, { recursive: true });
  await fs.chmod(to, 0o755);
  for (const entry of await fs.readdir(to, { withFileTypes: true, recursive: true }))
    await fs.chmod(path.join(entry.parentPath, entry.name), entry.isDirectory() ? 0o755 : 0o644);
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  await fs.link(from, to).catch(() => fs.copyFile(from, to));
}
