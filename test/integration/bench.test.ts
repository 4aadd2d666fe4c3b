import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const RUN = path.join(import.meta.dirname, '../../bench/run.ts');
const LIMIT_MS = 90_000;

async function bench(...args: string[]) {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [RUN, ...args, '--json', '--sources'],
    { timeout: LIMIT_MS, env: { PATH: process.env.PATH, NODE_NO_WARNINGS: '1' } },
  );
  return JSON.parse(stdout) as Record<string, unknown>;
}

it(
  'a benchmark prints one document with figures, goals, and what was not measured',
  async () => {
    expect(await bench('login', '--nodes', '12')).toMatchObject({
      name: 'login',
      unit: 'ms',
      ratios: [],
      python: 'not measured: no --python',
      figures: [
        { server: 'v6', nodes: 10, n: 10, p50: expect.any(Number) as number },
        { nodes: 12, n: 12, reads: false },
        { nodes: 12, n: 12, reads: true },
      ],
    });
  },
  LIMIT_MS,
);

it(
  'a fan-out reaches nodes on both transports, which then read their runs',
  async () => {
    const { figures } = await bench('fanout', '--nodes', '5', '--rounds', '2');
    const spread = { n: 2, p50: expect.any(Number) as number };
    expect(figures).toMatchObject([
      { transport: 'websocket', reads: false, nodes: 5, post: spread, last: spread },
      { transport: 'polling', reads: false, nodes: 5, last: spread },
      { transport: 'websocket', reads: true, lastRead: spread },
      { transport: 'polling', reads: true, lastRead: spread },
    ]);
  },
  LIMIT_MS,
);
