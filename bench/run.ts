// npm run bench -- NAME [--json] …: one document per benchmark on stdout, progress on stderr.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { type BenchInput, benchAddresses, benchFanout, benchLogin } from './benchmarks.ts';
import type { BenchDocument } from './document.ts';
import { findPython } from './python-peer.ts';
import { renderText } from './render.ts';
import { benchDrills } from './vpn/drills.ts';
import { benchPorts } from './vpn/ports.ts';
import { benchTaskStart } from './vpn/task-start.ts';
import { benchThroughput } from './vpn/throughput.ts';

const ROOT = path.join(import.meta.dirname, '..');
interface Benchmark {
  readonly run: (input: BenchInput) => Promise<BenchDocument>;
  readonly rounds: number;
  /** Of the coordination server, which can be measured beside upstream's; the others are of the data plane. */
  readonly isOfServer: boolean;
}

const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  addresses: { run: benchAddresses, rounds: 1, isOfServer: true },
  fanout: { run: benchFanout, rounds: 10, isOfServer: true },
  login: { run: benchLogin, rounds: 1, isOfServer: true },
  ports: { run: benchPorts, rounds: 15, isOfServer: false },
  drills: { run: benchDrills, rounds: 3, isOfServer: false },
  'task-start': { run: benchTaskStart, rounds: 20, isOfServer: false },
  throughput: { run: benchThroughput, rounds: 11, isOfServer: false },
};

const USAGE = `npm run bench -- ${Object.keys(BENCHMARKS).join('|')} [options]

  --json            one JSON document
  --sources         run the server from its sources and not from the bundle
  --rounds N        measurements of each kind; default: fanout 10 (Python: a third), ports 15
                    (upstream: a fifth), task-start 20, throughput 11, drills 3

of the server:
  --python VENV     folder of the Python packages: used when they are there, else made; default: not measured
                    (also V6_BENCH_PYTHON)
  --nodes K         nodes of fanout and login; default 1000
  --seconds S       per measurement of addresses; default 10 (Python: a few requests, each takes seconds)

of the data plane, which need root and a container engine with tun:
  --only TEXT       only those drills whose test has TEXT in its name
`;

async function main(argv: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      python: { type: 'string' },
      nodes: { type: 'string', default: '1000' },
      rounds: { type: 'string' },
      only: { type: 'string' },
      seconds: { type: 'string', default: '10' },
      sources: { type: 'boolean', default: false },
    },
  });
  const benchmark = Object.entries(BENCHMARKS).find(([name]) => name === positionals[0])?.[1];
  if (positionals.length !== 1 || benchmark === undefined) {
    process.stderr.write(USAGE);
    process.exitCode = 2;
    return;
  }
  if (!values.sources) buildBundle();
  const folder = mkdtempSync(path.join(os.tmpdir(), 'v6-bench-'));
  const end = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => end.abort(new Error(`The benchmark was ended by ${signal}.`)));
  const said = (line: string): void => {
    process.stderr.write(`${line}\n`);
  };
  try {
    const wished = benchmark.isOfServer
      ? (values.python ?? process.env.V6_BENCH_PYTHON)
      : undefined;
    const python = findPython(wished, said);
    const figures = await benchmark.run({
      folder,
      freePort,
      python,
      nodes: Number(values.nodes),
      rounds: Number(values.rounds ?? benchmark.rounds),
      seconds: Number(values.seconds),
      fromSources: values.sources,
      only: values.only,
      signal: end.signal,
      said,
    });
    const document = {
      ...figures,
      ...machine(values.sources),
      ...(benchmark.isOfServer ? { python: pythonOf(python !== undefined) } : {}),
    };
    process.stdout.write(
      values.json ? `${JSON.stringify(document, null, 2)}\n` : renderText(document),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function buildBundle(): void {
  const script = path.join(ROOT, 'scripts/bundle.mjs');
  const { status } = spawnSync(process.execPath, [script, '--if-stale'], {
    stdio: ['ignore', 2, 2],
  });
  if (status !== 0) throw new Error('The bundle could not be made; --sources runs without it.');
}

const pythonOf = (isMeasured: boolean): string =>
  isMeasured
    ? 'vantage6-server 4.15.2, one uWSGI worker with gevent, SQLite'
    : 'not measured: no --python';

function machine(fromSources: boolean) {
  const [cpu] = os.cpus();
  return {
    date: new Date().toISOString(),
    machine: {
      cpus: os.cpus().length,
      cpu: cpu?.model.trim() ?? '',
      memoryGiB: Math.round(os.totalmem() / 2 ** 30),
      system: `${os.type()} ${os.release()}`,
      node: process.version,
      server: fromSources ? 'sources' : 'bundle',
      /** Of the last minute, when the last measurement ended: the benchmark itself is most of it. */
      loadAverage: os.loadavg()[0],
    },
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' ? (address?.port ?? 0) : 0));
    });
  });
}

await main(process.argv.slice(2));
