// Makes the virtual environment with the Python packages that the tests run beside ours: clients, nodes and servers as sites
// have them. Runs on any Node from 20 on, without dependencies: the bootstrap and the tests start the same file.
//
//   node scripts/python-peers.mjs
//
// Progress goes to stderr; stdout gets one line, the Python of the environment. Where packages come from is pip's business:
// PIP_* variables and pip.conf. An environment of one's own: V6_TEST_PYTHON=/path/to/bin/python.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The version that the pins were locked for: Debian 12's. */
const PYTHON = '3.11';

const REQUIREMENTS = 'test/python/requirements.txt';

/** Clients of old algorithm images, each in a folder of its own beside the newer packages, on whose libraries they run. */
export const OLD_CLIENTS = ['3.7.3', '3.11.1'];

/** Raised when the environment is made in another way: older ones are then not taken for current. */
const RECIPE = 2;

class PeersError extends Error {}

/** Python of this machine that can make the environment: the right version, with venv and ensurepip; undefined when none. */
export function findPython(findProgram) {
  const probe = 'import sys, ensurepip, venv; print("%d.%d" % sys.version_info[:2])';
  for (const name of [`python${PYTHON}`, 'python3']) {
    const file = findProgram(name);
    if (file === undefined) continue;
    const asked = spawnSync(file, ['-c', probe], { encoding: 'utf8', timeout: 20_000 });
    if (asked.status === 0 && asked.stdout.trim() === PYTHON) return file;
  }
  return undefined;
}

/** Where the environment of these very requirements is, made or not. */
export function peersFolder(root) {
  const requirements = readFileSync(path.join(root, REQUIREMENTS));
  const recipe = `${RECIPE} ${process.arch} ${OLD_CLIENTS.join()}\n`;
  const hash = createHash('sha256').update(recipe).update(requirements);
  return path.join(root, '.v6', `python-${hash.digest('hex').slice(0, 12)}`);
}

/** The Python to run peers with, or undefined when it has to be made. An environment appears whole, by a rename. */
export function findPeers(root, env = process.env) {
  const given = env.V6_TEST_PYTHON;
  if (given !== undefined && given !== '') return given;
  const python = path.join(peersFolder(root), 'bin/python');
  return existsSync(python) ? python : undefined;
}

/**
 * Makes the environment unless it is there; returns its Python.
 * @param {string} root
 * @param {{ findProgram: (name: string) => string | undefined, onLine?: (line: string) => void, signal?: AbortSignal,
 *   env?: Record<string, string | undefined> }} options `findProgram` finds a program of this machine by its name, `onLine` gets
 *   what pip says
 * @returns {Promise<string>}
 */
export async function makePeers(root, options) {
  const { findProgram, onLine = () => {}, signal, env = process.env } = options;
  const found = findPeers(root, env);
  if (found !== undefined) return found;
  const python = findPython(findProgram);
  if (python === undefined)
    throw new PeersError(
      `Python ${PYTHON} with venv is needed for the tests with Python peers (Debian 12: apt-get install python3-venv). Where there is another Python only, set V6_TEST_PYTHON to one that has the packages of ${REQUIREMENTS}.`,
    );
  const target = peersFolder(root);
  await fs.mkdir(path.dirname(target), { recursive: true });
  const work = await fs.mkdtemp(path.join(path.dirname(target), '.python-'));
  try {
    await run(python, ['-m', 'venv', work], { onLine, signal });
    await install(path.join(work, 'bin/python'), root, { onLine, signal });
    await fs.rename(work, target).catch((error) => {
      // Somebody else has made the same one meanwhile.
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
    await removeOlder(target);
  } finally {
    await fs.rm(work, { recursive: true, force: true, maxRetries: 5 });
  }
  return path.join(target, 'bin/python');
}

async function install(python, root, { onLine, signal }) {
  const options = ['--no-deps', '--no-compile', '--no-input', '--disable-pip-version-check'];
  const pip = ['-m', 'pip', 'install', ...options];
  const all = async () => {
    await run(python, [...pip, '-r', path.join(root, REQUIREMENTS)], { onLine, signal });
    for (const version of OLD_CLIENTS) {
      const target = ['--target', path.join(path.dirname(python), '../old', version)];
      const packages = [`vantage6-client==${version}`, `vantage6-common==${version}`];
      await run(python, [...pip, ...target, ...packages], { onLine, signal });
    }
  };
  await all().catch((error) => {
    if (error.name === 'AbortError') throw error;
    throw new PeersError(
      [
        error.message,
        "The packages come from where pip's own settings say: PIP_INDEX_URL, PIP_FIND_LINKS, PIP_PROXY, PIP_CERT, pip.conf",
        '(python3 -m pip config list shows them). Or set V6_TEST_PYTHON to a Python that has them.',
      ].join('\n'),
    );
  });
}

/** Environments of other requirements and what a killed run left, an hour after they were made: somebody may be using one. */
async function removeOlder(target) {
  const folder = path.dirname(target);
  for (const name of await fs.readdir(folder)) {
    const at = path.join(folder, name);
    if (!/^\.?python-/.test(name) || at === target) continue;
    const stat = await fs.stat(at).catch(() => undefined);
    const isOld = stat !== undefined && Date.now() - stat.mtimeMs > 3_600_000;
    if (isOld) await fs.rm(at, { recursive: true, force: true });
  }
}

/** Ends with the last lines of what the program said when it fails. */
function run(file, args, { onLine, signal }) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], signal });
    let tail = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk) => {
        tail = (tail + chunk).slice(-3000);
        for (const line of String(chunk).split('\n')) if (line.trim() !== '') onLine(line);
      });
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) return resolve();
      const lines = tail.trim().split('\n').slice(-8);
      reject(new PeersError([`${file} ended with status ${code}.`, ...lines].join('\n')));
    });
  });
}

async function main() {
  const { findProgram } = await import('./find-program.mjs');
  const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(name, () => stop.abort());
  const onLine = (line) => process.stderr.write(`${line}\n`);
  const python = await makePeers(root, { findProgram, onLine, signal: stop.signal });
  process.stdout.write(`${python}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = error.name === 'AbortError' ? 130 : 69;
  });
}
