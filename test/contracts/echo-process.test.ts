import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { encodeEnv } from '../../src/core/protocol/algorithm-env.ts';
import { FakeCoordinationServer, type FakeRun } from '../fakes/coordination-server.ts';

const run = promisify(execFile);
const MAIN = path.join(import.meta.dirname, '../../src/algorithm/echo/main.ts');

let folder: string;
let bundle: string;
let server: FakeCoordinationServer;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'v6-echo-'));
  bundle = path.join(folder, 'echo.mjs');
  await build({
    entryPoints: [MAIN],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: bundle,
    logLevel: 'silent',
  });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

beforeEach(async () => {
  server = new FakeCoordinationServer();
  for (const organization of [1, 2, 3]) server.addNode({ organization });
  await server.start();
});
afterEach(() => server.stop());

interface Ended {
  readonly status: number;
  readonly stderr: string;
  readonly result: unknown;
}

/** Runs the bundled echo algorithm as a node would: files, encoded environment, nothing else. */
async function runEcho(
  fakeRun: FakeRun,
  input: unknown,
  encode: (text: string) => string = encodeEnv,
): Promise<Ended> {
  const at = await mkdtemp(path.join(folder, 'run-'));
  const files = { input: `${at}/input`, output: `${at}/output`, token: `${at}/token` };
  await writeFile(files.input, typeof input === 'string' ? input : JSON.stringify(input));
  await writeFile(files.token, server.containerToken(fakeRun));
  const { hostname, port } = new URL(server.url);
  const env = {
    INPUT_FILE: encode(files.input),
    OUTPUT_FILE: encode(files.output),
    TOKEN_FILE: encode(files.token),
    HOST: encode(`http://${hostname}`),
    PORT: encode(port),
    API_PATH: encode('/api'),
  };
  let status = 0;
  let stderr = '';
  try {
    await run(process.execPath, [bundle], { env, timeout: 20_000 });
  } catch (error) {
    const failure = error as { code?: number; stderr?: string };
    status = failure.code ?? -1;
    stderr = failure.stderr ?? '';
  }
  const result = await readFile(files.output, 'utf8').then(
    (text) => JSON.parse(text) as unknown,
    () => undefined,
  );
  return { status, stderr, result };
}

function firstRun(): FakeRun {
  server.addTask({ image: 'v6-echo:test', collaboration: 1, parent: null }, [1]);
  const [added] = server.runs;
  if (added === undefined) throw new Error('no run');
  return added;
}

describe('the echo algorithm as one bundled file', () => {
  it('is small: its code is far below the 2 MB that the image may add', async () => {
    expect((await readFile(bundle)).length).toBeLessThan(100_000);
  });

  it('answers whoami from its token, without any request', async () => {
    const ended = await runEcho(firstRun(), { method: 'whoami', args: [], kwargs: {} });
    expect(ended).toEqual({
      status: 0,
      stderr: '',
      result: { organization: 1, task: 1, node: 101 },
    });
    expect(server.requests).toEqual([]);
  });

  it('reads a plain environment too, as nodes before 4.2 set it', async () => {
    const ended = await runEcho(firstRun(), { method: 'whoami' }, (text) => text);
    expect(ended.status).toBe(0);
  });

  it('starts whoami on the other organizations and collects their results, without VPN', async () => {
    server.onRun = async (child, task) => {
      if (task.parent === null) return;
      const { result } = await runEcho(child, readInput(child));
      server.finish(child, result);
    };
    const ended = await runEcho(firstRun(), {
      method: 'collect',
      kwargs: { organizations: [1, 2, 3] },
    });
    expect(ended.result).toEqual({
      task: 2,
      results: [
        {
          organization: 2,
          run: 2,
          status: 'completed',
          value: { organization: 2, task: 2, node: 102 },
        },
        {
          organization: 3,
          run: 3,
          status: 'completed',
          value: { organization: 3, task: 2, node: 103 },
        },
      ],
    });
    expect(server.tasks[1]).toMatchObject({ image: 'v6-echo:test', parent: 1 });
    expect(server.requests.filter((request) => request.includes('/vpn'))).toEqual([]);
  });

  it('follows all pages of runs and results', async () => {
    server.perPage = 1;
    server.onRun = (child, task) => {
      if (task.parent !== null) server.finish(child, { organization: child.organization });
      return Promise.resolve();
    };
    const ended = await runEcho(firstRun(), { method: 'collect', kwargs: {} });
    expect(ended.result).toMatchObject({
      results: [{ organization: 2 }, { organization: 3 }],
    });
  });

  it.each([
    ['a method that it does not have', { method: 'rm' }, 'there is no method "rm"'],
    ['a method of every object', { method: 'toString' }, 'there is no method "toString"'],
    ['an input that is not JSON', '{"method":', 'JSON'],
    [
      'organizations that are not a list',
      { method: 'echo', kwargs: { organizations: 3 } },
      'organizations is not a list of organization ids',
    ],
    [
      'a number of probes out of range',
      { method: 'echo', kwargs: { organizations: [1], probes: 0 } },
      'probes is not a whole number from 1 to 1000',
    ],
  ])('ends with status 1 and the reason in its log for %s', async (_what, input, reason) => {
    const ended = await runEcho(firstRun(), input);
    expect(ended.status).toBe(1);
    expect(ended.stderr).toContain(reason);
    expect(ended.stderr).toContain('    at ');
    expect(ended.result).toBeUndefined();
  });

  it('ends with status 1 when the server refuses its sub-task', async () => {
    server.intercept = (method, where) =>
      method === 'POST' && where === '/task' ? [400, { msg: 'not a member' }] : undefined;
    const ended = await runEcho(firstRun(), { method: 'collect', kwargs: { organizations: [2] } });
    expect(ended.status).toBe(1);
    expect(ended.stderr).toContain('was answered 400: not a member');
  });
});

const readInput = (child: FakeRun): unknown =>
  JSON.parse(Buffer.from(child.input, 'base64').toString('utf8')) as unknown;
