import { constants } from 'node:fs';
import { chmod, mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { V6Error } from '../../core/errors.ts';
import { isRecord } from '../../core/protocol/json.ts';
import type { PortLease, RunFiles, RunFolder, RunRecord } from '../../node/interfaces/run-files.ts';

/** A result travels as base64 in one JSON body; more than this no server takes. */
const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;

/**
 * Run folders below the node's data folder: `data/task-000000041` and `data/tmp-000000041`, closed by `data` itself (0700)
 * and open within, because algorithms run as any user. Records lie in `runs/`, which no algorithm sees.
 */
export function createRunFiles(dataDir: string, maxOutputBytes = MAX_OUTPUT_BYTES): RunFiles {
  const root = path.join(dataDir, 'data');
  const records = path.join(dataDir, 'runs');
  const digits = (run: number): string => String(run).padStart(9, '0');
  const folderOf = (run: number): RunFolder => ({
    name: `task-${digits(run)}`,
    data: path.join(root, `task-${digits(run)}`),
    temporary: path.join(root, `tmp-${digits(run)}`),
  });
  const recordOf = (run: number): string => path.join(records, `${run}.json`);
  return {
    async create(run, { input, token }) {
      const folder = folderOf(run);
      await mkdir(root, { recursive: true, mode: 0o700 });
      await chmod(root, 0o700);
      await remake(folder.data, 0o711);
      await remake(folder.temporary, 0o1777);
      await place(path.join(folder.data, 'input'), input, 0o644);
      await place(path.join(folder.data, 'token'), Buffer.from(token, 'ascii'), 0o644);
      await place(path.join(folder.data, 'output'), Buffer.alloc(0), 0o666);
      return folder;
    },
    readOutput: (run) => readPlainFile(path.join(folderOf(run).data, 'output'), maxOutputBytes),
    async remove(run) {
      const folder = folderOf(run);
      await rm(recordOf(run), { force: true });
      await rm(`${recordOf(run)}.new`, { force: true });
      await rm(folder.data, { recursive: true, force: true });
      await rm(folder.temporary, { recursive: true, force: true });
    },
    async saveRecord(record) {
      await mkdir(records, { recursive: true, mode: 0o700 });
      const file = recordOf(record.run);
      await writeFile(`${file}.new`, JSON.stringify(record), {
        mode: 0o600,
        // Before an end is told, a lost record costs no more than the run, which the power failure ended as well.
        flush: record.outcome !== undefined,
      });
      if (record.outcome !== undefined)
        await syncFile(path.join(folderOf(record.run).data, 'output'));
      await rename(`${file}.new`, file);
      if (record.outcome !== undefined) await syncFile(records);
    },
    async listRecords() {
      const files = await entriesOf(records);
      const found = await Promise.all(
        files
          .filter((file) => /^\d+\.json$/.test(file))
          .map(async (file) => parseRecord(await readFile(path.join(records, file), 'utf8'))),
      );
      return found.filter((record) => record !== undefined);
    },
    async listRuns() {
      const names = [...(await entriesOf(root)), ...(await entriesOf(records))];
      const runs = names.map((name) => /^(?:(?:task|tmp)-)?(\d+)(?:\.json(?:\.new)?)?$/.exec(name));
      return [...new Set(runs.filter((match) => match !== null).map(([, run]) => Number(run)))];
    },
  };
}

async function entriesOf(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
}

/** What is there is on the disk afterwards (fsync(2)). Only plain files and folders: an algorithm may have left anything. */
async function syncFile(file: string): Promise<void> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const handle = await open(file, flags).catch(() => undefined);
  if (handle === undefined) return;
  try {
    const stats = await handle.stat();
    if (stats.isFile() || stats.isDirectory()) await handle.sync();
  } finally {
    await handle.close();
  }
}

async function remake(folder: string, mode: number): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder);
  await chmod(folder, mode);
}

async function place(file: string, content: Uint8Array, mode: number): Promise<void> {
  await writeFile(file, content, { flag: 'wx' });
  await chmod(file, mode);
}

/**
 * Reads what an algorithm left. It may have put a link to a file of the host, or a pipe, in the place of its output: neither is
 * followed or waited for (open(2), O_NOFOLLOW and O_NONBLOCK).
 */
async function readPlainFile(file: string, maxBytes: number): Promise<Uint8Array> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const handle = await open(file, flags).catch((error: NodeJS.ErrnoException) => {
    throw outputError(error.code === 'ELOOP' ? 'is a link' : 'cannot be read', error);
  });
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw outputError('is not a plain file');
    if (stats.size > maxBytes)
      throw outputError(`has ${stats.size} bytes, more than the ${maxBytes} that can be sent`);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

function outputError(fault: string, cause?: unknown): V6Error {
  return new V6Error('V6_RUN_FAILED', `The output file of the algorithm ${fault}`, {
    cause,
    hints: ['The algorithm must write its result into the file that OUTPUT_FILE names.'],
  });
}

function parseRecord(text: string): RunRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(value)) return undefined;
  const { run, task, image, startedAt, slot, ports, tokenHash, outcome } = value;
  const isWhole =
    typeof run === 'number' &&
    typeof task === 'number' &&
    typeof image === 'string' &&
    typeof startedAt === 'string' &&
    typeof slot === 'number' &&
    typeof tokenHash === 'string' &&
    Array.isArray(ports);
  if (!isWhole) return undefined;
  return {
    run,
    task,
    image,
    startedAt,
    slot,
    tokenHash,
    ports: ports as readonly PortLease[],
    ...(isRecord(outcome)
      ? { outcome: outcome as unknown as NonNullable<RunRecord['outcome']> }
      : {}),
  };
}
