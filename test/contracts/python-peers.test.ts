import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { findProgram } from '../../scripts/find-program.mjs';
import { findPeers, makePeers, peersFolder } from '../../scripts/python-peers.mjs';
import { inTempFolder } from '../support/temp-folder.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

/** A project with these requirements and nothing else. */
async function project(root: string, requirements: string): Promise<void> {
  await mkdir(path.join(root, 'test/python'), { recursive: true });
  await writeFile(path.join(root, 'test/python/requirements.txt'), requirements);
}

const left = (root: string): Promise<readonly string[]> => readdir(path.join(root, '.v6'));

describe('the environment of the Python peers', () => {
  it('is made once, whole, and is then found by what it was made of', async () => {
    await inTempFolder(async (root) => {
      await project(root, '# nothing\n');
      expect(findPeers(root, {})).toBeUndefined();
      const python = await makePeers(root, { findProgram, env: {} });
      expect(python).toBe(path.join(peersFolder(root), 'bin/python'));
      expect(await makePeers(root, { findProgram: () => undefined, env: {} })).toBe(python);
      await project(root, '# something else\n');
      expect(findPeers(root, {})).toBeUndefined();
    });
  });

  it('says where pip looks when the index does not answer, and leaves nothing', async () => {
    vi.stubEnv('PIP_INDEX_URL', 'http://127.0.0.1:1/simple');
    vi.stubEnv('PIP_RETRIES', '0');
    await inTempFolder(async (root) => {
      await project(root, 'vantage6-common==4.15.2\n');
      const made = makePeers(root, { findProgram, env: {} });
      await expect(made).rejects.toThrow(/PIP_INDEX_URL.*pip\.conf[^]*V6_TEST_PYTHON/);
      expect(await left(root)).toEqual([]);
    });
  });

  it('leaves nothing when it is interrupted', async () => {
    await inTempFolder(async (root) => {
      await project(root, '# nothing\n');
      const stop = new AbortController();
      const made = makePeers(root, { findProgram, env: {}, signal: stop.signal });
      setTimeout(() => stop.abort(), 300);
      await expect(made).rejects.toMatchObject({ name: 'AbortError' });
      expect(await left(root)).toEqual([]);
    });
  });

  it('asks for the right Python where there is none, and takes the one that it is given', async () => {
    await inTempFolder(async (root) => {
      await project(root, '# nothing\n');
      const made = makePeers(root, { findProgram: () => undefined, env: {} });
      await expect(made).rejects.toThrow(/Python 3\.11 .*python3-venv.*V6_TEST_PYTHON/);
      const env = { V6_TEST_PYTHON: '/opt/peers/bin/python' };
      expect(await makePeers(root, { findProgram, env })).toBe(env.V6_TEST_PYTHON);
    });
  });
});
