// Makes the two root file systems that our images stand on, out of Debian packages and nothing else.
// Runs on any Node from 20 on, without dependencies: the bootstrap and `v6 images build` start the same file.
//
//   node scripts/base-image.mjs [--out FOLDER] [--force]
//
// Progress goes to stderr; stdout gets one line, the folder that holds vpn.tar and runtime.tar.
// This file is the recipe: the tags of all images carry a hash of its bytes.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const PACKAGES =
  'openvpn nftables iptables iproute2 conntrack socat tini dash busybox iputils-ping netbase ca-certificates libstdc++6 libgcc-s1'.split(
    ' ',
  );

/** Applets of busybox that scripts may use. Never `ip` or `ping`: the real ones are there. */
const APPLETS =
  'awk basename cat chmod chown cmp cp cut date dd df dirname du echo env expr false find flock free grep head hostname id install kill ln ls mkdir mkfifo mktemp mv nc nproc nslookup od pidof printenv printf ps pwd readlink realpath rm rmdir sed seq setsid sha256sum sleep sort stat stty sync sysctl tail tar tee test timeout top touch tr true tty uname uniq usleep wc wget which whoami xargs yes'.split(
    ' ',
  );

const XTABLES = ['', '6'].flatMap((six) =>
  ['', '-save', '-restore'].flatMap((tool) => [
    [`ip${six}tables${tool}`, 'xtables-nft-multi'],
    [`ip${six}tables-nft${tool}`, 'xtables-nft-multi'],
    [`ip${six}tables-legacy${tool}`, 'xtables-legacy-multi'],
  ]),
);

const STAGES = {
  vpn: {
    programs:
      'openvpn nft xtables-nft-multi xtables-legacy-multi ip ss conntrack socat tini dash busybox ping'.split(
        ' ',
      ),
    // dlopen'ed, so no NEEDED entry names it: glibc loads it when a thread is cancelled.
    libraries: ['libgcc_s.so.1'],
    modules: ['xtables'],
    links: XTABLES,
    files: ['/etc/protocols', '/etc/services', '/etc/iproute2'],
    certificates: false,
  },
  runtime: {
    programs: ['tini', 'dash', 'busybox'],
    // What the official Node binary needs (its NEEDED entries); Node itself is added by images/runtime-base.
    libraries: [
      'libstdc++.so.6',
      'libgcc_s.so.1',
      'libm.so.6',
      'libdl.so.2',
      'libpthread.so.0',
      'librt.so.1',
      'libatomic.so.1',
    ],
    modules: [],
    links: [],
    files: ['/etc/protocols', '/etc/services'],
    certificates: true,
  },
};

const OPTIONAL_LIBRARIES = new Set(['libatomic.so.1']);

const EXTRACT_EXCLUDES =
  './dev ./usr/share/doc ./usr/share/man ./usr/share/locale ./usr/share/info ./usr/share/lintian ./var/cache'.split(
    ' ',
  );

class RecipeError extends Error {
  constructor(message, exitCode) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Folder where the result of this very recipe is kept, per user. */
export async function cacheFolder(env = process.env) {
  const recipe = await fs.readFile(fileURLToPath(import.meta.url));
  const key = createHash('sha256').update(recipe).update(process.arch).digest('hex').slice(0, 12);
  const cache = env.XDG_CACHE_HOME || path.join(env.HOME || os.homedir(), '.cache');
  return path.join(cache, 'v6', `base-${key}`);
}

/** One `deb` line per usable source out of what `apt-get indextargets` printed (see `listSources`); third parties are left out. */
export function chooseSources(text, codename) {
  const suites = new Set([codename, 'stable', 'oldstable', 'testing', 'unstable', 'sid', 'devel']);
  const lines = new Set();
  for (const row of text.split('\n')) {
    const [uri, release = '', component = '', signedBy = ''] = row.split('|');
    const isOurs =
      suites.has(release.replace(/-(updates|security)$/, '').replace(/\/updates$/, '')) &&
      (component === 'main' || component === 'universe') &&
      !uri.startsWith('cdrom:');
    if (!isOurs) continue;
    const key = signedBy === '' || signedBy.startsWith('$') ? '' : `[signed-by=${signedBy}] `;
    lines.add(`deb ${key}${uri} ${release} ${component}`);
  }
  return [...lines].toSorted((a, b) => a.localeCompare(b, 'en'));
}

/** Proxy, time-out and certificate settings of the host's apt, as options for another apt. */
export function chooseAptOptions(dump) {
  return dump
    .split('\n')
    .filter((line) => /^Acquire::(https?|ftp|Retries|Check-Valid-Until)\b.*"[^"]+";$/.test(line))
    .map((line) => line.trim());
}

function run(file, args, { input, onLine, signal, env } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      env: env ?? process.env,
      signal,
    });
    let stdout = '';
    let tail = '';
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      tail = (tail + chunk).slice(-4000);
      for (const line of String(chunk).split('\n')) if (line.trim() !== '') onLine?.(line);
    });
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(stdout);
      else reject(new RecipeError(`${file} ended with status ${code}.\n${tail.trim()}`, 1));
    });
    if (input !== undefined) child.stdin.end(input);
  });
}

async function listSources() {
  const release = await fs.readFile('/etc/os-release', 'utf8').catch(() => '');
  const codename = /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(release)?.[1] ?? 'stable';
  const format = '$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)';
  const text = await run('apt-get', ['indextargets', '--no-release-info', '--format', format]);
  const sources = chooseSources(text, codename);
  if (sources.length === 0)
    throw new RecipeError(
      `The apt sources of this machine name no package archive of ${codename}: add one in /etc/apt/sources.list.d and run apt-get update.`,
      78,
    );
  return sources;
}

function requirePrograms() {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin'];
  const has = (program) => folders.some((folder) => existsSync(path.join(folder, program)));
  if (!has('apt-get'))
    throw new RecipeError('This is no Debian-like system: apt-get is missing.', 78);
  if (!has('mmdebstrap'))
    throw new RecipeError(
      'mmdebstrap is not installed; run: apt-get install -y --no-install-recommends mmdebstrap',
      69,
    );
}

/** The release itself, not its updates. */
function suiteOf(sources) {
  const suites = sources.map((line) => line.split(' ').at(-2));
  return suites.toSorted((a, b) => a.length - b.length)[0];
}

/** A folder that apt's own user may enter; with it goes what mmdebstrap leaves when it is killed. */
async function withScratch(use) {
  const scratch = await fs.mkdtemp(path.join(os.tmpdir(), 'v6-packages-'));
  await fs.chmod(scratch, 0o755);
  try {
    return await use(scratch);
  } finally {
    await fs.rm(scratch, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Downloads and unpacks the packages below `folder/root`; no maintainer script runs. */
async function unpackPackages(folder, { onLine, signal }) {
  requirePrograms();
  const sources = await listSources();
  const options = chooseAptOptions(await run('apt-config', ['dump', 'Acquire']));
  const archive = path.join(folder, 'all.tar');
  await withScratch((scratch) =>
    run(
      'mmdebstrap',
      [
        '--variant=extract',
        `--include=${PACKAGES.join(',')}`,
        '--aptopt=APT::Install-Recommends "false"',
        ...options.map((option) => `--aptopt=${option}`),
        suiteOf(sources),
        archive,
        '-',
      ],
      {
        input: `${sources.join('\n')}\n`,
        onLine,
        signal,
        env: { ...process.env, TMPDIR: scratch },
      },
    ),
  );
  const root = path.join(folder, 'root');
  await fs.mkdir(root);
  const excludes = EXTRACT_EXCLUDES.map((name) => `--exclude=${name}`);
  await run('tar', ['-x', '--no-same-owner', ...excludes, '-C', root, '-f', archive], { signal });
  await fs.rm(archive);
  return root;
}

/** Path in the unpacked tree of an absolute path, with links followed inside that tree only. */
async function resolveInside(root, name, depth = 0) {
  if (depth > 20) throw new RecipeError(`Too many links at ${name}.`, 1);
  let at = '/';
  for (const part of path.normalize(name).split('/').filter(Boolean)) {
    const next = path.join(at, part);
    const stat = await fs.lstat(path.join(root, next)).catch(() => undefined);
    if (stat === undefined) return undefined;
    if (stat.isSymbolicLink()) {
      const target = await fs.readlink(path.join(root, next));
      const resolved = await resolveInside(root, path.resolve(at, target), depth + 1);
      if (resolved === undefined) return undefined;
      at = resolved;
    } else at = next;
  }
  return at;
}

async function findIn(root, folders, name) {
  for (const folder of folders) {
    const found = await resolveInside(root, path.join(folder, name));
    if (found !== undefined) return path.join(root, found);
  }
  return undefined;
}

const MULTIARCH = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' };
const LOADER = {
  x64: { name: 'ld-linux-x86-64.so.2', folder: 'lib64' },
  arm64: { name: 'ld-linux-aarch64.so.1', folder: 'lib' },
};

function layoutOf(arch) {
  const triplet = MULTIARCH[arch];
  if (triplet === undefined)
    throw new RecipeError(`Images can be built on x64 and arm64; this machine is ${arch}.`, 78);
  return {
    triplet,
    loader: LOADER[arch],
    libraries: [`/usr/lib/${triplet}`, `/lib/${triplet}`, '/usr/lib', '/lib', '/lib64'],
    programs: ['/usr/sbin', '/usr/bin', '/sbin', '/bin'],
  };
}

/** The libraries that the dynamic loader of the unpacked tree finds for an ELF file; one from outside the tree is an error. */
async function listLibraries(root, layout, file) {
  const loader = await findIn(root, layout.libraries, layout.loader.name);
  const folders = layout.libraries.map((folder) => path.join(root, folder)).join(':');
  const text = await run(loader, ['--inhibit-cache', '--library-path', folders, '--list', file], {
    env: { PATH: process.env.PATH ?? '' },
  }).catch((error) => {
    // A library without any dependency of its own is no failure for us.
    if (/statically linked|not a dynamic executable/.test(error.message)) return '';
    throw error;
  });
  const names = [];
  for (const line of text.split('\n')) {
    const match = /^\s*(\S+) => (.+?)(?: \(0x[0-9a-f]+\))?$/.exec(line);
    if (match === null) continue;
    const [, name, where] = match;
    if (!where.startsWith(`${root}/`))
      throw new RecipeError(`${path.basename(file)} needs ${name}, found: ${where}.`, 1);
    if (path.basename(name) !== layout.loader.name) names.push(path.basename(name));
  }
  return names;
}

async function copyFile(from, to) {
  await fs.mkdir(path.dirname(to), { recursive: true });
  await fs.copyFile(from, to);
  const { mode } = await fs.stat(from);
  await fs.chmod(to, mode & 0o755);
}

const PASSWD = 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/sh\n';
const GROUP = 'root:x:0:\nnogroup:x:65534:\n';

async function prepareSkeleton(stage, layout) {
  const folders = `etc root tmp run proc sys dev var/lib var/log var/tmp usr/bin usr/sbin usr/lib/${layout.triplet} usr/lib64 usr/local/bin usr/local/lib`;
  for (const folder of folders.split(' '))
    await fs.mkdir(path.join(stage, folder), { recursive: true });
  await fs.chmod(path.join(stage, 'tmp'), 0o1777);
  await fs.chmod(path.join(stage, 'var/tmp'), 0o1777);
  await fs.chmod(path.join(stage, 'root'), 0o700);
  for (const name of ['bin', 'sbin', 'lib', 'lib64'])
    await fs.symlink(`usr/${name}`, path.join(stage, name));
  await fs.symlink('/run', path.join(stage, 'var/run'));
  const files = {
    'etc/passwd': PASSWD,
    'etc/group': GROUP,
    'etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
  };
  for (const [name, text] of Object.entries(files))
    await fs.writeFile(path.join(stage, name), text);
}

async function copyLibraries(root, stage, layout, names) {
  const done = new Set();
  const queue = [...names];
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    if (done.has(name)) continue;
    done.add(name);
    const from = await findIn(root, layout.libraries, name);
    if (from === undefined) {
      if (OPTIONAL_LIBRARIES.has(name)) continue;
      throw new RecipeError(`The packages hold no ${name}.`, 1);
    }
    await copyFile(from, path.join(stage, 'usr/lib', layout.triplet, name));
    queue.push(...(await listLibraries(root, layout, from)));
  }
  const { name, folder } = layout.loader;
  await copyFile(await findIn(root, layout.libraries, name), path.join(stage, 'usr', folder, name));
}

async function copyPrograms(root, stage, layout, programs) {
  const needed = [];
  for (const program of programs) {
    const from = await findIn(root, layout.programs, program);
    if (from === undefined) throw new RecipeError(`The packages hold no ${program}.`, 1);
    const folder = from.includes('/sbin/') ? 'usr/sbin' : 'usr/bin';
    await copyFile(from, path.join(stage, folder, program));
    needed.push(...(await listLibraries(root, layout, from)));
  }
  for (const applet of APPLETS) await fs.symlink('busybox', path.join(stage, 'usr/bin', applet));
  // The shell is dash, never busybox: a busybox shell prefers its own applets to the programs on the path.
  await fs.symlink('dash', path.join(stage, 'usr/bin/sh'));
  return needed;
}

async function copyExtras(root, stage, layout, recipe) {
  for (const module of recipe.modules) {
    const from = await findIn(root, layout.libraries, module);
    await fs.cp(from, path.join(stage, 'usr/lib', layout.triplet, module), {
      recursive: true,
      verbatimSymlinks: true,
    });
  }
  for (const [name, target] of recipe.links)
    await fs.symlink(target, path.join(stage, 'usr/sbin', name));
  for (const name of recipe.files) {
    const from = await findIn(root, ['/etc', '/usr/share'], name.replace(/^\/etc\//, ''));
    if (from !== undefined) await fs.cp(from, path.join(stage, name), { recursive: true });
  }
  if (!recipe.certificates) return;
  const folder = path.join(root, 'usr/share/ca-certificates/mozilla');
  const texts = [];
  for (const file of (await fs.readdir(folder)).toSorted())
    texts.push(await fs.readFile(path.join(folder, file), 'utf8'));
  await fs.mkdir(path.join(stage, 'etc/ssl/certs'), { recursive: true });
  await fs.writeFile(path.join(stage, 'etc/ssl/certs/ca-certificates.crt'), texts.join(''));
}

async function stageOne(root, folder, kind, layout) {
  const recipe = STAGES[kind];
  const stage = path.join(folder, kind);
  await prepareSkeleton(stage, layout);
  const needed = await copyPrograms(root, stage, layout, recipe.programs);
  await copyLibraries(root, stage, layout, [...recipe.libraries, ...needed]);
  await copyExtras(root, stage, layout, recipe);
  const tar = path.join(folder, `${kind}.tar`);
  await run(
    'tar',
    `-c --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C ${stage} -f ${tar} .`.split(
      ' ',
    ),
  );
  return tar;
}

/**
 * Makes vpn.tar and runtime.tar in `out` unless they are there; returns the folder.
 * Whole or not at all: the folder appears by a rename.
 */
export async function stageBase({ out, force = false, onLine = () => {}, signal } = {}) {
  const target = out ?? (await cacheFolder());
  const isThere = ['vpn.tar', 'runtime.tar'].every((name) => existsSync(path.join(target, name)));
  if (isThere && !force) {
    onLine('root file systems are there already');
    return target;
  }
  const layout = layoutOf(process.arch);
  await fs.mkdir(path.dirname(target), { recursive: true });
  const work = await fs.mkdtemp(path.join(path.dirname(target), '.staging-'));
  try {
    const root = await unpackPackages(work, { onLine, signal });
    for (const kind of Object.keys(STAGES)) {
      signal?.throwIfAborted();
      onLine(`staging ${kind}`);
      await stageOne(root, work, kind, layout);
      await fs.rm(path.join(work, kind), { recursive: true });
    }
    await fs.rm(root, { recursive: true });
    await fs.rm(target, { recursive: true, force: true });
    await fs.rename(work, target);
    if (out === undefined) await removeOlder(target);
  } finally {
    await fs.rm(work, { recursive: true, force: true });
  }
  return target;
}

/** Results of other recipes, and what a killed run left an hour ago or earlier. */
async function removeOlder(target) {
  const folder = path.dirname(target);
  for (const name of await fs.readdir(folder)) {
    const at = path.join(folder, name);
    const { mtimeMs } = await fs.stat(at);
    const isOld = name.startsWith('.staging-') && Date.now() - mtimeMs > 3_600_000;
    if (isOld || (name.startsWith('base-') && at !== target))
      await fs.rm(at, { recursive: true, force: true });
  }
}

async function main(argv) {
  process.umask(0o022);
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(name, () => stop.abort());
  const at = argv.indexOf('--out');
  const folder = await stageBase({
    ...(at < 0 ? {} : { out: path.resolve(argv[at + 1]) }),
    force: argv.includes('--force'),
    signal: stop.signal,
    onLine: (line) => process.stderr.write(`${line}\n`),
  });
  process.stdout.write(`${folder}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main(process.argv.slice(2)).catch((error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = error.name === 'AbortError' ? 130 : (error.exitCode ?? 1);
  });
}
