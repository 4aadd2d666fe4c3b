import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BUILD_INPUTS, hashInputs, isStampCurrent, writeStamp } from '../../../scripts/inputs.mjs';

let root: string;
beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'v6-inputs-'));
  mkdirSync(path.join(root, 'src/deep'), { recursive: true });
  writeFileSync(path.join(root, 'src/a.ts'), 'a');
  writeFileSync(path.join(root, 'src/deep/b.ts'), 'b');
});
afterEach(() => rmSync(root, { recursive: true }));

describe('the stamp of a build', () => {
  it('is current until a source changes, comes or goes', async () => {
    expect(await isStampCurrent(root, 'build')).toBe(false);
    const renew = async () => writeStamp(root, 'build', await hashInputs(root, BUILD_INPUTS));
    await renew();
    expect(await isStampCurrent(root, 'build')).toBe(true);
    writeFileSync(path.join(root, 'src/deep/b.ts'), 'c');
    expect(await isStampCurrent(root, 'build')).toBe(false);
    await renew();
    writeFileSync(path.join(root, 'src/new.ts'), '');
    expect(await isStampCurrent(root, 'build')).toBe(false);
    await renew();
    rmSync(path.join(root, 'src/a.ts'));
    expect(await isStampCurrent(root, 'build')).toBe(false);
  });

  it('is stale when a source changed while the build ran', async () => {
    const before = await hashInputs(root, BUILD_INPUTS);
    writeFileSync(path.join(root, 'src/a.ts'), 'changed meanwhile');
    await writeStamp(root, 'build', before);
    expect(await isStampCurrent(root, 'build')).toBe(false);
  });

  it('does not confuse names with contents', async () => {
    const one = await hashInputs(root, ['src']);
    rmSync(path.join(root, 'src/a.ts'));
    writeFileSync(path.join(root, 'src/aa.ts'), '');
    expect(await hashInputs(root, ['src'])).not.toBe(one);
  });
});
