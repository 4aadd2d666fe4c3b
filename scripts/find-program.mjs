// Where a program of this machine lies, also outside the path.
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';

const SYSTEM_FOLDERS = [
  '/usr/local/sbin',
  '/usr/local/bin',
  '/usr/sbin',
  '/usr/bin',
  '/sbin',
  '/bin',
];

/** Debian keeps the programs of each version of PostgreSQL beside each other, and out of the path. */
function postgresFolders() {
  const root = '/usr/lib/postgresql';
  const versions = existsSync(root) ? readdirSync(root) : [];
  return versions.map((version) => path.join(root, version, 'bin'));
}

/** Full path of a program of the host; never one of node_modules. */
export function findProgram(name) {
  const own = (process.env.PATH ?? '').split(':').filter((at) => !at.includes('node_modules'));
  const folders = [...own, ...SYSTEM_FOLDERS, ...postgresFolders()];
  return folders.map((folder) => path.join(folder, name)).find((file) => existsSync(file));
}
