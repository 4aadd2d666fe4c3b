// Starts an installed container engine that does not run, so that it outlives the command. Never touches one that answers.
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';

/** Where the engine of a Debian system has its things. */
export const SYSTEM_ENGINE = {
  program: 'dockerd',
  /** What the process is called once it runs. */
  processName: 'dockerd',
  /** @type {string[]} */
  args: [],
  socket: '/var/run/docker.sock',
  pidFile: '/var/run/docker.pid',
  execRoot: '/var/run/docker',
  /** Of a containerd that runs on its own. dockerd waits for it in vain when only its socket is left. */
  containerdSocket: '/run/containerd/containerd.sock',
  log: '/var/log/dockerd.log',
  isService: true,
};

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** `running`, `refused` (no permission on the socket) or `silent` (nobody listens). */
export function pingEngine(socket, timeoutMs = 3000) {
  return new Promise((resolve) => {
    const request = http.get({ socketPath: socket, path: '/_ping', timeout: timeoutMs });
    request.on('response', (response) => {
      response.resume();
      resolve(response.statusCode === 200 ? 'running' : 'silent');
    });
    request.on('timeout', () => request.destroy(new Error('no answer')));
    request.on('error', ({ code }) =>
      resolve(code === 'EACCES' || code === 'EPERM' ? 'refused' : 'silent'),
    );
  });
}

/** The living process that a pid file names, when it is the named program; undefined for a stale file. */
export function findProcess(pidFile, program) {
  let pid;
  try {
    pid = Number.parseInt(readFileSync(pidFile, 'utf8'), 10);
  } catch {
    return undefined;
  }
  if (!Number.isInteger(pid) || pid < 2) return undefined;
  try {
    const comm = readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
    const state = /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return comm === program && state !== 'Z' ? pid : undefined;
  } catch {
    return undefined;
  }
}

function doesListen(socket) {
  return new Promise((resolve) => {
    const connection = net.connect(socket);
    const end = (is) => {
      connection.destroy();
      resolve(is);
    };
    connection.once('connect', () => end(true));
    connection.once('error', ({ code }) => end(code === 'EACCES'));
    connection.setTimeout(2000, () => end(true));
  });
}

/** Removes what a killed engine left and a new one trips over. Returns the paths that were removed. */
export async function removeLeftovers(engine) {
  const removed = [];
  const drop = (file) => {
    if (!existsSync(file)) return;
    rmSync(file, { force: true });
    removed.push(file);
  };
  if (findProcess(engine.pidFile, engine.processName) === undefined) drop(engine.pidFile);
  const own = path.join(engine.execRoot, 'containerd');
  if (findProcess(path.join(own, 'containerd.pid'), 'containerd') === undefined)
    for (const name of ['containerd.pid', 'containerd.sock', 'containerd.sock.ttrpc'])
      drop(path.join(own, name));
  const shared = engine.containerdSocket;
  if (shared !== undefined && existsSync(shared) && !(await doesListen(shared))) drop(shared);
  return removed;
}

function lastLines(file, count = 8) {
  try {
    return readFileSync(file, 'utf8').trim().split('\n').slice(-count);
  } catch {
    return [];
  }
}

/** Environment of a daemon: nothing of the command that happens to start it, and the folders of system programs. */
function daemonEnvironment() {
  const { PATH = '', HOME = '/root', LANG, HTTP_PROXY, HTTPS_PROXY, NO_PROXY } = process.env;
  const own = PATH.split(':').filter((folder) => !folder.includes('node_modules'));
  const folders = new Set([...own, '/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin']);
  const all = { PATH: [...folders].join(':'), HOME, LANG, HTTP_PROXY, HTTPS_PROXY, NO_PROXY };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

function mountCgroups() {
  const isMounted = /\s\/sys\/fs\/cgroup\S*\s+cgroup2?\s/.test(
    readFileSync('/proc/mounts', 'utf8'),
  );
  if (!isMounted) spawnSync('cgroupfs-mount', [], { env: daemonEnvironment(), stdio: 'ignore' });
}

function nameOfInit() {
  try {
    return path.basename(readlinkSync('/proc/1/exe'));
  } catch {
    return '';
  }
}

/** How to start it here: by the service manager that is PID 1, else as a process of its own. */
export function chooseStart(engine, { hasSystemd, init, hasInitScript }) {
  if (engine.isService && hasSystemd) return ['systemctl', 'start', 'docker'];
  if (engine.isService && init === 'init' && hasInitScript) return ['service', 'docker', 'start'];
  return undefined;
}

function startDetached(engine) {
  mountCgroups();
  const log = openSync(engine.log, 'a', 0o640);
  const child = spawn(engine.program, engine.args, {
    cwd: '/',
    detached: true,
    stdio: ['ignore', log, log],
    env: daemonEnvironment(),
  });
  const ended = { error: undefined };
  child.on('error', (error) => {
    ended.error = error.message;
  });
  child.on('exit', (code, signal) => {
    ended.error ??= `it ended with ${signal ?? `status ${code}`}`;
  });
  child.unref();
  closeSync(log);
  return ended;
}

/**
 * Sees to it that the engine answers within `timeoutMs`. Returns `{started, removed, logFile}`; throws with the last lines of its log.
 * One that answers, or whose process lives and is still starting, is left alone.
 */
export async function startEngine(engine = SYSTEM_ENGINE, { timeoutMs = 60_000 } = {}) {
  const state = await pingEngine(engine.socket);
  if (state === 'running') return { started: false, removed: [] };
  if (state === 'refused') throw new Error(`No permission on ${engine.socket}.`);
  const isStarting = findProcess(engine.pidFile, engine.processName) !== undefined;
  const removed = isStarting ? [] : await removeLeftovers(engine);
  let ended = { error: undefined };
  const service = chooseStart(engine, {
    hasSystemd: existsSync('/run/systemd/system'),
    init: nameOfInit(),
    hasInitScript: existsSync('/etc/init.d/docker'),
  });
  if (!isStarting && service !== undefined) {
    const { status, stderr } = spawnSync(service[0], service.slice(1), { encoding: 'utf8' });
    if (status !== 0) throw new Error(`${service.join(' ')} failed: ${(stderr ?? '').trim()}`);
  } else if (!isStarting) ended = startDetached(engine);
  const deadline = Date.now() + timeoutMs;
  while ((await pingEngine(engine.socket)) !== 'running') {
    if (ended.error !== undefined || Date.now() > deadline)
      throw new Error(
        [
          `The container engine does not answer: ${ended.error ?? `nothing within ${timeoutMs / 1000} s`}. Its log is ${engine.log}.`,
          ...lastLines(engine.log),
        ].join('\n'),
      );
    await pause(100);
  }
  return { started: !isStarting, removed, logFile: service ? undefined : engine.log };
}
