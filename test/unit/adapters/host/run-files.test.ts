import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createRunFiles } from '../../../../src/adapters/host/run-files.ts';
import type { RunRecord } from '../../../../src/node/interfaces/run-files.ts';
import { type TempFolder, tempFolder } from '../../../support/temp-folder.ts';

let temp: TempFolder;
beforeEach(async () => {
  temp = await tempFolder();
});
afterEach(() => temp.remove());

const content = { input: Buffer.from('in'), token: 'a.b.c' };
const mode = async (file: string) => ((await stat(file)).mode & 0o7777).toString(8);

describe('the folder of a run', () => {
  it('is closed on the host, and open to any user of its container', async () => {
    const folder = await createRunFiles(temp.path).create(41, content);
    expect(folder.name).toBe('task-000000041');
    expect(await mode(path.dirname(folder.data))).toBe('700');
    expect(await mode(folder.data)).toBe('711');
    expect(await mode(folder.temporary)).toBe('1777');
    expect(await mode(path.join(folder.data, 'output'))).toBe('666');
    expect(await mode(path.join(folder.data, 'token'))).toBe('644');
    expect(await readFile(path.join(folder.data, 'input'), 'utf8')).toBe('in');
  });

  it('is made anew, whatever an earlier start left in it', async () => {
    const files = createRunFiles(temp.path);
    const { data } = await files.create(41, content);
    await writeFile(path.join(data, 'left'), 'x');
    await files.create(41, content);
    expect((await readdir(data)).toSorted()).toEqual(['input', 'output', 'token']);
  });

  it('goes with its record, and may be gone already', async () => {
    const files = createRunFiles(temp.path);
    await files.create(41, content);
    await files.saveRecord(record);
    await files.remove(41);
    await files.remove(41);
    expect(await readdir(path.join(temp.path, 'data'))).toEqual([]);
    expect(await files.listRecords()).toEqual([]);
  });
});

describe('the output of an algorithm', () => {
  const prepare = async (limit?: number) => {
    const files = createRunFiles(temp.path, limit);
    const { data } = await files.create(41, content);
    return { files, output: path.join(data, 'output') };
  };

  it('is read as it is', async () => {
    const { files, output } = await prepare();
    await writeFile(output, '"done"');
    expect(Buffer.from(await files.readOutput(41)).toString()).toBe('"done"');
  });

  it('is not read through a link to a file of the host', async () => {
    const { files, output } = await prepare();
    await writeFile(path.join(temp.path, 'secret'), 'of the host');
    await rm(output);
    await symlink(path.join(temp.path, 'secret'), output);
    await expect(files.readOutput(41)).rejects.toThrow(/is a link/);
  });

  it('is not waited for when it is a pipe, and no folder either', async () => {
    const { files, output } = await prepare();
    await rm(output);
    execFileSync('mkfifo', [output]);
    await expect(files.readOutput(41)).rejects.toThrow(/not a plain file/);
    await rm(output);
    await mkdir(output);
    await expect(files.readOutput(41)).rejects.toMatchObject({ code: 'V6_RUN_FAILED' });
  });

  it('has a limit', async () => {
    const { files, output } = await prepare(3);
    await writeFile(output, '1234');
    await expect(files.readOutput(41)).rejects.toThrow(/has 4 bytes, more than the 3/);
  });
});

const record: RunRecord = {
  run: 41,
  task: 17,
  image: 'echo:1',
  startedAt: '2030-01-01T00:00:00.000Z',
  slot: 0,
  ports: [{ protocol: 'tcp', port: 8888, label: null, tunnelPort: 49152 }],
  tokenHash: 'abc',
};

describe('records', () => {
  it('are found again as they were; a damaged one is left out', async () => {
    const files = createRunFiles(temp.path);
    expect(await files.listRecords()).toEqual([]);
    await files.saveRecord(record);
    await writeFile(path.join(temp.path, 'runs', '42.json'), '{"run": 42');
    await writeFile(path.join(temp.path, 'runs', '43.json'), '{"run": 43}');
    expect(await files.listRecords()).toEqual([record]);
    expect(await mode(path.join(temp.path, 'runs', '41.json'))).toBe('600');
  });
});
