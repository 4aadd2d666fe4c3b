// What the bootstrap has to do on a machine: facts in, steps or a refusal out. No input or output in here.

/** Debian package → a program of it: whoever has the program does not need the package. */
const PROGRAM_OF = {
  'docker.io': 'dockerd',
  iptables: 'iptables',
  mmdebstrap: 'mmdebstrap',
  tcpdump: 'tcpdump',
  socat: 'socat',
  iproute2: 'ip',
  nftables: 'nft',
  conntrack: 'conntrack',
  openssl: 'openssl',
  openvpn: 'openvpn',
  python3: 'python3',
  postgresql: 'postgres',
};

/** What only the tests call on the host. */
const TEST_PACKAGES = [
  'tcpdump',
  'socat',
  'iproute2',
  'nftables',
  'conntrack',
  'openssl',
  'openvpn',
  'postgresql',
];

/** What makes the environment of the Python peers. A Python without venv has no program to tell it by. */
const PYTHON_PACKAGES = ['python3', 'python3-venv'];

/**
 * Tests start a PostgreSQL of their own: while the package is installed, this file keeps Debian from making one that runs with
 * the machine. `folder` is read by pg_createcluster(1).
 */
export const NO_CLUSTER = {
  folder: '/etc/postgresql-common/createcluster.d',
  name: 'v6-no-cluster.conf',
  text: 'create_main_cluster = false\n',
};

/** Disk (MB) and time (seconds) as measured on a machine with two cores, with nothing installed. */
const COST = {
  engine: { diskMb: 330, seconds: 25 },
  packages: { diskMb: 30, seconds: 10 },
  postgresql: { diskMb: 220, seconds: 10 },
  npm: { diskMb: 600, seconds: 60 },
  build: { diskMb: 10, seconds: 6 },
  start: { diskMb: 0, seconds: 3 },
  images: { diskMb: 200, seconds: 15 },
  python: { diskMb: 400, seconds: 25 },
};

/**
 * @typedef {object} Facts
 * @property {string} platform `process.platform`
 * @property {string} arch `process.arch`
 * @property {boolean} hasApt apt-get and dpkg are there
 * @property {string} system name and version of the system, for messages
 * @property {boolean} isRoot
 * @property {string} user
 * @property {readonly string[]} programs programs of the host that were found
 * @property {boolean} hasCgroups the control groups that an engine needs are mounted
 * @property {boolean} hasSystemd systemd is PID 1
 * @property {'running' | 'refused' | 'stopped' | 'absent' | 'remote'} engine
 * @property {boolean} areModulesCurrent node_modules is what package-lock.json says
 * @property {boolean} isBuildCurrent
 * @property {boolean} areImagesCurrent
 * @property {boolean} hasTun /dev/net/tun is there
 * @property {boolean} hasPython a Python that can make the environment of the peers
 * @property {boolean} arePeersCurrent that environment is made, or V6_TEST_PYTHON names another
 */

/** Why v6 cannot be set up here, or undefined. */
export function refusalFor(facts) {
  if (facts.platform !== 'linux')
    return `v6 needs Linux: its nodes are containers with a VPN client. This is ${facts.platform}.`;
  if (facts.arch !== 'x64' && facts.arch !== 'arm64')
    return `v6 needs a 64-bit x86 or ARM processor. This is ${facts.arch}.`;
  if (!facts.hasApt)
    return `This set-up knows Debian-like systems (apt-get, dpkg). This is ${facts.system}. Needed by hand: Node 24, a Docker engine from 20.10 on, mmdebstrap; then npm ci, npm run build, npx v6 images build.`;
  return undefined;
}

/** Debian packages that are missing for `mode` (`demo`, `test` or `ci-setup`). */
export function missingPackages(facts, mode) {
  const has = new Set(facts.programs);
  const wanted = [
    ...(facts.engine === 'absent' ? ['docker.io', 'iptables'] : []),
    ...(facts.areImagesCurrent ? [] : ['mmdebstrap']),
    ...(mode === 'demo' ? [] : TEST_PACKAGES),
    ...(needsPython(facts, mode) && !facts.hasPython ? PYTHON_PACKAGES : []),
  ];
  const missing = wanted.filter((name) => !has.has(PROGRAM_OF[name]));
  const needsCgroups = missing.includes('docker.io') && !facts.hasSystemd && !facts.hasCgroups;
  return needsCgroups ? [...missing, 'cgroupfs-mount'] : missing;
}

const needsPython = (facts, mode) => mode !== 'demo' && !facts.arePeersCurrent;

function costOf(packages) {
  const { diskMb, seconds } = packages.includes('docker.io') ? COST.engine : COST.packages;
  const more = packages.includes('postgresql') ? COST.postgresql : { diskMb: 0, seconds: 0 };
  return { diskMb: diskMb + more.diskMb, seconds: seconds + more.seconds };
}

/**
 * Steps that are left, and what is there already. A step: `id`, `title`, `diskMb`, `seconds`, `needsRoot`.
 * @param {Facts} facts
 */
export function planSteps(facts, mode) {
  const packages = missingPackages(facts, mode);
  const packageCost = costOf(packages);
  const all = [
    {
      id: 'packages',
      title: 'system packages',
      what: packages.join(', '),
      isThere: packages.length === 0,
      needsRoot: true,
      ...packageCost,
    },
    {
      id: 'npm',
      title: 'npm packages',
      what: 'node_modules, with Node 24 for this project alone',
      isThere: facts.areModulesCurrent,
      ...COST.npm,
    },
    {
      id: 'build',
      title: 'build',
      what: 'dist, from src',
      isThere: facts.isBuildCurrent && facts.areModulesCurrent,
      ...COST.build,
    },
    {
      id: 'engine',
      title: 'container engine',
      what: 'start dockerd; it keeps running afterwards',
      // Refused: it runs; who may use it is another question.
      isThere: facts.engine !== 'stopped' && facts.engine !== 'absent',
      needsRoot: true,
      ...COST.start,
    },
    {
      id: 'images',
      title: 'container images',
      what: 'v6-vpn, v6-runtime, v6-echo: those that are missing',
      isThere: facts.areImagesCurrent && facts.isBuildCurrent,
      ...COST.images,
    },
    ...(mode === 'demo' ? [] : [pythonStep(facts)]),
  ];
  const steps = all.filter(({ isThere }) => !isThere);
  return { packages, steps, present: all.filter(({ isThere }) => isThere) };
}

const pythonStep = (facts) => ({
  id: 'python',
  title: 'Python peers',
  what: 'clients, nodes and servers of Python vantage6, for the tests',
  isThere: facts.arePeersCurrent,
  ...COST.python,
});

/** Commands that somebody with root has to run first; empty when there are none. */
export function commandsForRoot(facts, plan) {
  if (facts.isRoot) return [];
  const commands = [];
  const file = `${NO_CLUSTER.folder}/${NO_CLUSTER.name}`;
  const bringsPostgres = plan.packages.includes('postgresql');
  if (bringsPostgres)
    commands.push(
      `sudo mkdir -p ${NO_CLUSTER.folder}`,
      `echo '${NO_CLUSTER.text.trim()}' | sudo tee ${file}`,
    );
  if (plan.packages.length > 0)
    commands.push(
      'sudo apt-get update',
      `sudo apt-get install -y --no-install-recommends ${plan.packages.join(' ')}`,
    );
  if (bringsPostgres) commands.push(`sudo rm ${file}`);
  if (facts.engine === 'stopped' || facts.engine === 'absent')
    commands.push(
      facts.hasSystemd ? 'sudo systemctl enable --now docker' : 'sudo service docker start',
    );
  if (facts.engine !== 'running' && facts.engine !== 'remote')
    commands.push(`sudo usermod -aG docker ${facts.user}   # then log in again`);
  if (!facts.hasTun) commands.push('sudo modprobe tun');
  return commands;
}

/** The announcement: what will be installed or started, with disk and time, and what is there. */
export function renderPlan(plan) {
  if (plan.steps.length === 0) return 'Everything is there: nothing to install.';
  const lines = ['To do:'];
  for (const { title, what, diskMb, seconds } of plan.steps)
    lines.push(
      `  ${title.padEnd(17)} ${what} (${diskMb > 0 ? `${diskMb} MB, ` : ''}about ${seconds} s)`,
    );
  const diskMb = sum(plan.steps, 'diskMb');
  lines.push(`  ${'together'.padEnd(17)} ${diskMb} MB of disk, about ${expectedSeconds(plan)} s`);
  if (plan.present.length > 0)
    lines.push(`Already there: ${plan.present.map(({ title }) => title).join(', ')}.`);
  return lines.join('\n');
}

/** Packages, npm and the Python peers are installed side by side; the images wait for all. */
export function expectedSeconds({ steps }) {
  const of = (...ids) =>
    sum(
      steps.filter(({ id }) => ids.includes(id)),
      'seconds',
    );
  return Math.max(of('packages', 'engine'), of('npm', 'build'), of('python')) + of('images');
}

const sum = (steps, key) => steps.reduce((total, step) => total + step[key], 0);

/** True when what npm installed (`node_modules/.package-lock.json`) is what package-lock.json asks for. */
export function isLockSatisfied(lock, installed, arch) {
  if (installed?.packages === undefined) return false;
  for (const [name, wanted] of Object.entries(lock.packages)) {
    if (name === '' || wanted.link === true) continue;
    const found = installed.packages[name];
    if (found === undefined) {
      if (name === `node_modules/node-linux-${arch}` || wanted.optional !== true) return false;
    } else if (found.version !== wanted.version) return false;
  }
  return Object.keys(installed.packages).every((name) => name in lock.packages);
}

/** Login that `v6 demo up` with these arguments saves: `demo`, or `demo-NAME` with `--name NAME`. */
export function loginOfDemo(args) {
  const at = args.findIndex((word) => word === '--name' || word === '-n');
  const joined = args.find((word) => word.startsWith('--name='));
  const name = joined?.slice('--name='.length) ?? (at < 0 ? undefined : args[at + 1]);
  return name === undefined ? 'demo' : `demo-${name}`;
}

/** Time of a step, short: `0.4 s`, `38 s`, `2 min 5 s`. */
export function renderSeconds(ms) {
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
