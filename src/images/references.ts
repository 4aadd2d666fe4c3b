import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { V6Error } from '../core/errors.ts';
import { V6_VERSION } from '../core/labels.ts';
import type { AnyImageKind, ImageIdentity, ImageKind } from './kinds.ts';

/** File in the runtime image that holds the references of the build it belongs to: there are no recipes in there. */
export const FROZEN_FILE = 'images.json';

/** Full names of the images of this very build. A getter throws V6_IMAGE_NOT_FOUND while the project is not built. */
export type ImageReferences = Readonly<Record<ImageKind, string>>;

/**
 * Names of the images that belong to `root` (oclif's `config.root`): a hash over recipes and inputs, so that two machines
 * with the same files agree. Reads files only; asks no engine.
 */
export function imageReferences(root: string): ImageReferences {
  const frozen = readFrozen(root);
  if (frozen !== undefined) return frozen;
  return {
    get vpn() {
      return identify(root, 'vpn').reference;
    },
    get runtime() {
      return identify(root, 'runtime').reference;
    },
    echo: echoReference(),
  };
}

function readFrozen(root: string): ImageReferences | undefined {
  const file = path.join(root, FROZEN_FILE);
  if (!existsSync(file)) return undefined;
  const { vpn, runtime, echo } = JSON.parse(readFileSync(file, 'utf8')) as ImageReferences;
  return { vpn, runtime, echo };
}

/** Tasks name this one, so it is the same on every node of a version; its content stands in a label. */
function echoReference(): string {
  return `v6-echo:${V6_VERSION}`;
}

/** The folder that holds `images/` and `scripts/`: `root` itself, or the project that a bundle in `dist/bundle` belongs to. */
export function recipesFolder(root: string): string {
  const candidates = [root, path.join(root, '..', '..')];
  const found = candidates.find((folder) =>
    existsSync(path.join(folder, 'scripts', 'base-image.mjs')),
  );
  if (found !== undefined) return found;
  throw new V6Error('V6_IMAGE_BUILD', `There are no image recipes in ${root}.`, {
    hints: ['Build images on the host, from the v6 package: `npx v6 images build`.'],
    details: { root },
  });
}

/** The bundled command line that goes into the runtime image. Throws V6_IMAGE_NOT_FOUND when it was not built. */
export function bundleFolder(root: string): string {
  const folder = path.join(recipesFolder(root), 'dist', 'bundle');
  if (existsSync(path.join(folder, 'bin', 'run.js'))) return folder;
  throw new V6Error('V6_IMAGE_NOT_FOUND', `The runtime image has no content yet: ${folder}.`, {
    hints: ['Run `npm run build`, then `npx v6 images build`.'],
    details: { folder },
  });
}

/** Name and content of one image. */
export function identify(root: string, kind: AnyImageKind): ImageIdentity {
  const content = contentOf(recipesFolder(root), kind);
  const reference = kind === 'echo' ? echoReference() : `v6-${kind}:${content}`;
  return { kind, reference, content };
}

function contentOf(root: string, kind: AnyImageKind): string {
  const inRoot = (...parts: string[]): string => path.join(root, ...parts);
  switch (kind) {
    case 'vpn-base':
      return hashOf([process.arch], [inRoot('scripts/base-image.mjs'), inRoot('images/vpn-base')]);
    case 'runtime-base':
      return hashOf(
        [process.arch, pinnedNodeVersion(root)],
        [inRoot('scripts/base-image.mjs'), inRoot('images/runtime-base')],
      );
    case 'vpn':
      return hashOf([contentOf(root, 'vpn-base')], [inRoot('images/vpn')]);
    case 'runtime':
      // With the VPN client's content: the daemon inside starts that very image.
      return hashOf(
        [contentOf(root, 'runtime-base'), contentOf(root, 'vpn')],
        [inRoot('images/runtime'), bundleFolder(root)],
      );
    case 'echo':
      return hashOf(
        [contentOf(root, 'runtime-base')],
        [inRoot('images/echo'), path.join(bundleFolder(root), 'echo')],
      );
  }
}

/** Version of the Node that the project pins, as its package.json says. */
export function pinnedNodeVersion(root: string): string {
  const file = path.join(root, 'package.json');
  const text = JSON.parse(readFileSync(file, 'utf8')) as {
    optionalDependencies?: Record<string, string>;
  };
  return text.optionalDependencies?.[`node-linux-${process.arch}`] ?? 'unknown';
}

/** 12 hex digits of a SHA-256 over words and over names and bytes of all files at the given paths. */
function hashOf(words: readonly string[], paths: readonly string[]): string {
  const hash = createHash('sha256');
  for (const word of words) hash.update(`${word}\0`);
  for (const at of paths) {
    for (const file of listFiles(at)) {
      const bytes = readFileSync(file);
      hash.update(`${path.relative(path.dirname(at), file)}\0${bytes.length}\0`).update(bytes);
    }
  }
  return hash.digest('hex').slice(0, 12);
}

/** Files below a path in a fixed order; the path itself when it is a file, nothing when it is absent. */
function listFiles(at: string): readonly string[] {
  if (!existsSync(at)) return [];
  const entries = readdirSync(path.dirname(at), { withFileTypes: true });
  if (entries.find(({ name }) => name === path.basename(at))?.isFile()) return [at];
  return readdirSync(at, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .toSorted((a, b) => (a < b ? -1 : Number(a > b)));
}
