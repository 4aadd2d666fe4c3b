// What the bootstrap finds on this machine: reads and asks, changes nothing.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { isLockSatisfied } from './bootstrap-plan.mjs';
import { pingEngine, SYSTEM_ENGINE } from './engine-start.mjs';
import { findProgram } from './find-program.mjs';
import { isStampCurrent } from './inputs.mjs';
import { findPeers, findPython } from './python-peers.mjs';

const PROGRAMS = [
  'apt-get',
  'dpkg',
  'dockerd',
  'iptables',
  'mmdebstrap',
  'tcpdump',
  'socat',
  'ip',
  'nft',
  'conntrack',
  'openssl',
  'openvpn',
  'python3',
  'postgres',
];

function readText(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}

/** The Node that the project pins; absent before the first `npm ci`. */
export function pinnedNode(root) {
  return path.join(root, 'node_modules', `node-linux-${process.arch}`, 'bin/node');
}

function areModulesCurrent(root) {
  const lock = readJson(path.join(root, 'package-lock.json'));
  const installed = readJson(path.join(root, 'node_modules/.package-lock.json'));
  return (
    lock !== undefined &&
    isLockSatisfied(lock, installed, process.arch) &&
    existsSync(pinnedNode(root))
  );
}

/** The engine that v6 would use: DOCKER_HOST where it is set, else the socket of the system. */
async function findEngine(env) {
  const host = env.DOCKER_HOST;
  if (host !== undefined && host !== '' && !host.startsWith('unix://')) return 'remote';
  const socket = host ? host.slice('unix://'.length) : SYSTEM_ENGINE.socket;
  const state = await pingEngine(socket);
  if (state !== 'silent') return state;
  return findProgram('dockerd') === undefined ? 'absent' : 'stopped';
}

/** Asked of the project's own command, so that there is one opinion on what current means. */
function areImagesCurrent(root) {
  const asked = spawnSync(pinnedNode(root), ['bin/run.js', 'images', 'list', '--json'], {
    cwd: root,
    encoding: 'utf8',
    timeout: 20_000,
  });
  if (asked.status !== 0) return false;
  try {
    const { images } = JSON.parse(asked.stdout);
    const current = new Set(images.filter((image) => image.isCurrent).map(({ kind }) => kind));
    return ['vpn', 'runtime', 'echo'].every((kind) => current.has(kind));
  } catch {
    return false;
  }
}

function hasTun() {
  try {
    return statSync('/dev/net/tun').isCharacterDevice();
  } catch {
    return false;
  }
}

/** @returns {Promise<import('./bootstrap-plan.mjs').Facts>} */
export async function gatherFacts(root) {
  const engine = await findEngine(process.env);
  const modules = areModulesCurrent(root);
  const build =
    modules && (await isStampCurrent(root, 'build')) && existsSync(path.join(root, 'dist/bundle'));
  const isReachable = engine === 'running' || engine === 'remote';
  const release = readText('/etc/os-release');
  return {
    platform: process.platform,
    arch: process.arch,
    hasApt: findProgram('apt-get') !== undefined && findProgram('dpkg') !== undefined,
    system: /^PRETTY_NAME="?([^"\n]+)/m.exec(release)?.[1] ?? process.platform,
    isRoot: process.getuid?.() === 0,
    user: os.userInfo().username,
    programs: PROGRAMS.filter((name) => findProgram(name) !== undefined),
    hasCgroups: /\s\/sys\/fs\/cgroup\S*\s+cgroup2?\s/.test(readText('/proc/mounts')),
    hasSystemd: existsSync('/run/systemd/system'),
    engine,
    areModulesCurrent: modules,
    isBuildCurrent: build,
    areImagesCurrent: build && isReachable && areImagesCurrent(root),
    hasTun: hasTun(),
    hasPython: findPython(findProgram) !== undefined,
    arePeersCurrent: findPeers(root) !== undefined,
  };
}

/** Free disk below a folder in MB; undefined where it cannot be told. */
export async function freeDiskMb(folder) {
  const { statfs } = await import('node:fs/promises');
  const stat = await statfs(folder).catch(() => undefined);
  return stat === undefined ? undefined : Math.floor((stat.bavail * stat.bsize) / 1e6);
}
