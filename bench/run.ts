// npm run bench -- addresses|fanout|login [--json] [--python VENV] …: one document per benchmark on stdout, progress on stderr.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { benchAddresses, benchFanout, benchLogin } from './benchmarks.ts';
import { findPython } from './python-peer.ts';
import { renderText } from './render.ts';

const ROOT = path.join(import.meta.dirname, '..');
const BENCHMARKS = { addresses: benchAddresses, fanout: benchFanout, login: benchLogin } as const;

const USAGE = `npm run bench -- addresses|fanout|login [options]

  --json            one JSON document
  --python VENV     folder of the Python packages: used when they are there, else made; default: not measured
                    (also V6_BENCH_PYTHON)
  --nodes K         nodes of fanout and login; default 1000
  --rounds N        tasks per kind of fanout; default 10 (Python: a third)
  --seconds S       per measurement of addresses; default 10 (Python: a few requests, each takes seconds)
  --sources         run the server from its sources and not from the bundle
`;

async function main(argv: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      python: { type: 'string' },
      nodes: { type: 'string', default: '1000' },
      rounds: { type: 'string', default: '10' },
      seconds: { type: 'string', default: '10' },
      sources: { type: 'boolean', default: false },
    },
  });
  const name = positionals[0] ?? '';
  if (positionals.length !== 1 || !Object.hasOwn(BENCHMARKS, name)) {
    process.stderr.write(USAGE);
    process.exitCode = 2;
    return;
  }
  if (!values.sources) buildBundle();
  const folder = mkdtempSync(path.join(os.tmpdir(), 'v6-bench-'));
  const said = (line: string): void => {
    process.stderr.write(`${line}\n`);
  };
  try {
    const python = findPython(values.python ?? process.env.V6_BENCH_PYTHON, said);
    const figures = await BENCHMARKS[name as keyof typeof BENCHMARKS]({
      folder,
      freePort,
      python,
      nodes: Number(values.nodes),
      rounds: Number(values.rounds),
      seconds: Number(values.seconds),
      fromSources: values.sources,
      said,
    });
    const document = { ...figures, ...machine(python !== undefined, values.sources) };
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

function machine(hasPython: boolean, fromSources: boolean) {
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
    python: hasPython
      ? 'vantage6-server 4.15.2, one uWSGI worker with gevent, SQLite'
      : 'not measured: no --python',
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
