// Which sources a build was made of: a hash of their bytes, kept beside the result, so that a second build does nothing.
import { createHash } from 'node:crypto';
import * as fs from 'node:fs/promises';
import path from 'node:path';

/** What decides about the content of dist (`tsc`) and dist/bundle. */
export const BUILD_INPUTS = [
  'src',
  'bin/run.js',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'scripts/bundle.mjs',
  'scripts/manifest.mjs',
];

const byCodeUnit = (a, b) => (a < b ? -1 : Number(a > b));

async function listFiles(root, name) {
  const stat = await fs.stat(path.join(root, name)).catch(() => undefined);
  if (stat === undefined) return [];
  if (!stat.isDirectory()) return [name];
  const entries = await fs.readdir(path.join(root, name), { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(root, path.join(entry.parentPath ?? entry.path, entry.name)));
}

/** sha256 (hex) over names and bytes of files and folders below `root`; the order they are named in does not matter. */
export async function hashInputs(root, names) {
  const files = (await Promise.all(names.map((name) => listFiles(root, name)))).flat();
  const hash = createHash('sha256');
  for (const file of [...new Set(files)].toSorted(byCodeUnit)) {
    const bytes = await fs.readFile(path.join(root, file));
    hash.update(`${file}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest('hex');
}

const stampFile = (root, name) => path.join(root, 'dist', `.${name}.stamp`);

/**
 * Says that dist holds what the sources of `hash` make. `name`: `build` for all of it, `bundle` for dist/bundle.
 * The hash is taken before the build: a source that changes meanwhile makes the stamp stale.
 */
export async function writeStamp(root, name, hash) {
  await fs.mkdir(path.join(root, 'dist'), { recursive: true });
  await fs.writeFile(stampFile(root, name), hash);
}

export async function isStampCurrent(root, name) {
  const stamp = await fs.readFile(stampFile(root, name), 'utf8').catch(() => '');
  return stamp !== '' && stamp === (await hashInputs(root, BUILD_INPUTS));
}
