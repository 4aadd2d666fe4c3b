import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const RUN = path.join(import.meta.dirname, '../../bench/run.ts');
const LIMIT_MS = 300_000;

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

it(
  'port mappings are applied and removed beside the ways of upstream',
  async () => {
    const { figures, ratios, goals } = await bench('ports', '--rounds', '1');
    const one = { ports: 1, n: 1, p50: expect.any(Number) as number };
    expect(figures).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ ...one, way: 'v6', what: 'apply and remove' }),
        expect.objectContaining({ ...one, way: 'upstream, one exec', what: 'apply' }),
        expect.objectContaining({ ...one, way: 'upstream, an exec per rule', what: 'apply' }),
        expect.objectContaining({ way: 'v6', what: 'remove', ports: 1000, n: 1 }),
      ]),
    );
    expect(ratios).toHaveLength(5);
    expect(goals).toMatchObject([{ limit: 60 }, { limit: 10 }]);
  },
  LIMIT_MS,
);

it(
  'a task is started with and without VPN, as we do it and as upstream does',
  async () => {
    const { figures } = await bench('task-start', '--rounds', '1');
    expect(figures).toMatchObject([
      { who: 'v6', vpn: true, containers: 1, execs: 0, n: 1 },
      { who: 'v6', vpn: false, containers: 1, execs: 0, n: 1 },
      { who: 'upstream', vpn: true, containers: 3, execs: 4, n: 1 },
      { who: 'upstream', vpn: false, containers: 1, execs: 0, n: 1 },
      { added: 'v6, until the container is made' },
      { added: 'v6, until its process runs' },
      { added: 'upstream, until its process runs' },
    ]);
  },
  LIMIT_MS,
);

it(
  'bytes stream and go round between two algorithms, and between two bare tunnels',
  async () => {
    const spread = { n: 1, p50: expect.any(Number) as number };
    const { figures } = await bench('throughput', '--rounds', '1');
    expect(figures).toMatchObject([
      { way: 'v6', mbitPerSecond: spread, roundTrip: { n: 1000 } },
      { way: 'bare', mbitPerSecond: spread, roundTrip: { n: 1000 } },
    ]);
  },
  LIMIT_MS,
);

it(
  'drills are measured beside their limits, one or all',
  async () => {
    const only = 'is started again when it was killed';
    const { figures, goals } = await bench('drills', '--rounds', '1', '--only', only);
    const spread = { n: 1, p50: expect.any(Number) as number };
    expect(figures).toMatchObject([{ drill: 'openvpn killed', repaired: spread, silence: spread }]);
    expect(goals).toMatchObject([{ limit: 6000 }, { limit: 8000 }]);
  },
  LIMIT_MS,
);
