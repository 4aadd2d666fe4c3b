// Sets up what is missing for v6 on this machine, then runs what was asked for. Plain Node 20, no dependencies.
//
//   npm run demo [-- --nodes 3]     node scripts/bootstrap.mjs demo …
//   npm test                        node scripts/bootstrap.mjs test …
//                                   node scripts/bootstrap.mjs ci-setup: only the set-up, as the tests need it
//
// Exit status: that of the command at the end; 77 when root has to do something first, 78 when this system will not do,
// 69 when a step failed, 130 when interrupted.
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { freeDiskMb, gatherFacts, pinnedNode } from './bootstrap-facts.mjs';
import {
  commandsForRoot,
  expectedSeconds,
  loginOfDemo,
  NO_CLUSTER,
  planSteps,
  refusalFor,
  renderPlan,
  renderSeconds,
} from './bootstrap-plan.mjs';
import { createChildren } from './children.mjs';
import { SYSTEM_ENGINE, startEngine } from './engine-start.mjs';
import { findProgram } from './find-program.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const say = (line) => process.stderr.write(`${line}\n`);

class Stop extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** npm's own environment without the pinned Node in front: npm ci replaces that file while it runs. */
function systemEnvironment() {
  const own = (process.env.PATH ?? '').split(':').filter((at) => !at.includes('node_modules'));
  return { ...process.env, PATH: own.join(':') };
}

function projectEnvironment() {
  return {
    ...process.env,
    PATH: `${path.join(root, 'node_modules/.bin')}:${process.env.PATH ?? ''}`,
  };
}

/** Runs one step: says when it is done and how long it took, and that it still runs every 20 s. */
async function timed(title, work) {
  const startedAt = Date.now();
  const passed = () => renderSeconds(Date.now() - startedAt);
  const ticker = setInterval(() => say(`  … ${title} (${passed()})`), 20_000);
  try {
    const note = await work();
    say(`  ✔ ${title}: ${passed()}${typeof note === 'string' ? ` (${note})` : ''}`);
  } catch (error) {
    say(`  ✖ ${title}: ${passed()}`);
    throw error;
  } finally {
    clearInterval(ticker);
  }
}

async function installPackages(children, packages) {
  const env = { ...systemEnvironment(), DEBIAN_FRONTEND: 'noninteractive' };
  const wait = ['-o', 'DPkg::Lock::Timeout=120'];
  await children.run('apt-get update', 'apt-get', [...wait, 'update'], { env });
  const args = [...wait, 'install', '-y', '--no-install-recommends', ...packages];
  const forget = packages.includes('postgresql') ? withoutCluster() : () => undefined;
  try {
    await children.run('apt-get install', 'apt-get', args, { env, isPatient: true });
  } finally {
    forget();
  }
}

/** Until the returned function is called, a newly installed PostgreSQL makes and starts no database of its own. */
function withoutCluster() {
  const file = path.join(NO_CLUSTER.folder, NO_CLUSTER.name);
  mkdirSync(NO_CLUSTER.folder, { recursive: true });
  writeFileSync(file, NO_CLUSTER.text);
  return () => rmSync(file, { force: true });
}

async function installModules(children) {
  const npm = findProgram('npm');
  if (npm === undefined) throw new Stop(78, 'npm is not installed; install Node 20 or newer.');
  await children.run('npm ci', npm, ['ci'], { cwd: root, env: systemEnvironment() });
}

async function build(children) {
  const args = [path.join(root, 'scripts/build.mjs')];
  await children.run('build', pinnedNode(root), args, { cwd: root, env: projectEnvironment() });
}

async function engine() {
  const { started, removed, logFile } = await startEngine(SYSTEM_ENGINE);
  const notes = [
    started ? 'started' : 'was starting',
    ...(removed.length > 0 ? [`removed stale ${removed.join(', ')}`] : []),
    ...(logFile === undefined ? [] : [`its log: ${logFile}`]),
  ];
  return notes.join('; ');
}

async function buildImages(children) {
  await children.run('images', pinnedNode(root), ['bin/run.js', 'images', 'build'], {
    cwd: root,
    env: projectEnvironment(),
  });
}

async function makePython(children) {
  const args = [path.join(root, 'scripts/python-peers.mjs')];
  await children.run('Python peers', process.execPath, args, { env: systemEnvironment() });
}

/** The tun device: made by hand where the kernel has it and only the node is missing, as in some containers. */
async function ensureTun(facts, children) {
  if (facts.hasTun) return;
  if (facts.isRoot && findProgram('modprobe') !== undefined)
    await children.run('modprobe tun', findProgram('modprobe'), ['tun']).catch(() => {});
  if (facts.isRoot && /^\s*200 tun$/m.test(readFileSync('/proc/misc', 'utf8'))) {
    mkdirSync('/dev/net', { recursive: true });
    await children
      .run('mknod', 'mknod', ['-m', '0666', '/dev/net/tun', 'c', '10', '200'])
      .catch(() => {});
  }
  try {
    if (statSync('/dev/net/tun').isCharacterDevice()) return;
  } catch {
    // Said below.
  }
  say('  ! There is no /dev/net/tun, and the kernel offers none: VPN tunnels cannot be made here.');
  say('    On the host of this machine: modprobe tun; for a container: --device /dev/net/tun.');
}

async function setUp(plan, children) {
  const isDue = (id) => plan.steps.some((step) => step.id === id);
  const step = (id, title, work) => (isDue(id) ? timed(title, work) : undefined);
  const packages = step('packages', 'system packages', () =>
    installPackages(children, plan.packages),
  );
  const system = async () => {
    await packages;
    await step('engine', 'container engine', engine);
    // Needs nothing of npm: done while that runs. `v6 images build` finds the result.
    const args = [path.join(root, 'scripts/base-image.mjs')];
    if (isDue('images') && isDue('npm'))
      await timed('root file systems', async () => {
        await children.run('root file systems', process.execPath, args);
      });
  };
  const project = async () => {
    await step('npm', 'npm packages', () => installModules(children));
    await step('build', 'build', () => build(children));
  };
  const python = async () => {
    if (plan.packages.some((name) => name.startsWith('python3'))) await packages;
    await step('python', 'Python peers', () => makePython(children));
  };
  await allOrStop(children, [system(), project(), python()]);
  await step('images', 'container images', () => buildImages(children));
}

/** Waits for all; the first failure ends the others and is the one that is thrown. */
async function allOrStop(children, branches) {
  let first;
  const watched = branches.map((branch) =>
    branch.catch((error) => {
      first ??= error;
      children.stop();
    }),
  );
  await Promise.all(watched);
  if (first !== undefined) throw first;
}

function refuseWithoutRoot(facts, plan) {
  const commands = commandsForRoot(facts, plan);
  if (commands.length === 0) return;
  throw new Stop(
    77,
    [
      `This machine has to change first, and ${facts.user} may not do that. Run:`,
      ...commands.map((command) => `  ${command}`),
      'and then the same command again.',
    ].join('\n'),
  );
}

async function checkDisk(plan) {
  const needed = plan.steps.reduce((total, { diskMb }) => total + diskMb, 0);
  const free = await freeDiskMb(root);
  if (free !== undefined && free < needed)
    throw new Stop(69, `${needed} MB of disk are needed below ${root}; ${free} MB are free.`);
}

async function bootstrap(mode, children) {
  const startedAt = Date.now();
  const facts = await gatherFacts(root);
  const refusal = refusalFor(facts);
  if (refusal !== undefined) throw new Stop(78, refusal);
  const plan = planSteps(facts, mode);
  say(renderPlan(plan));
  refuseWithoutRoot(facts, plan);
  await checkDisk(plan);
  await ensureTun(facts, children);
  await setUp(plan, children);
  if (plan.steps.length > 0)
    say(
      `Set up in ${renderSeconds(Date.now() - startedAt)} (expected: ${expectedSeconds(plan)} s).`,
    );
}

function commandsOf() {
  const { commands } = JSON.parse(readFileSync(path.join(root, 'oclif.manifest.json'), 'utf8'));
  return commands;
}

/** `v6 demo up` and `v6 vpn test`; the newest real thing while those are not there. */
async function demo(children, args) {
  const commands = commandsOf();
  const v6 = async (...words) => {
    say(`\n$ npx v6 ${words.join(' ')}`);
    const file = path.join(root, 'bin/run.js');
    return children.show(pinnedNode(root), [file, ...words], { env: projectEnvironment() });
  };
  if (commands['demo:up'] === undefined) return v6('images', 'list');
  const up = await v6('demo', 'up', ...args);
  if (up !== 0 || commands['vpn:test'] === undefined) return up;
  return v6('vpn', 'test', '--all-nodes', '--login', loginOfDemo(args));
}

function test(children, args) {
  const vitest = path.join(root, 'node_modules/vitest/vitest.mjs');
  const options = { cwd: root, env: projectEnvironment() };
  return children.show(pinnedNode(root), [vitest, 'run', ...args], options);
}

const MODES = { demo, test, 'ci-setup': async () => 0 };

async function main([mode, ...args]) {
  const action = MODES[mode];
  if (action === undefined) throw new Stop(2, `Say demo, test or ci-setup, not: ${mode ?? ''}`);
  if (Number(process.versions.node.split('.')[0]) < 20)
    throw new Stop(
      78,
      `Node 20 or newer is needed to begin with; this is ${process.versions.node}.`,
    );
  mkdirSync(path.join(root, '.v6'), { recursive: true });
  const logFile = path.join(root, '.v6/bootstrap.log');
  const children = createChildren({ logFile });
  try {
    await bootstrap(mode, children);
    return await action(children, args);
  } catch (error) {
    if (children.interruptedBy() !== undefined) {
      say('Interrupted. The same command goes on from here.');
      return 130;
    }
    if (!(error instanceof Stop)) error.message += `\nEverything that was said: ${logFile}`;
    throw error;
  }
}

main(process.argv.slice(2)).then(
  (status) => process.exit(status),
  (error) => {
    say(error.message);
    process.exit(error instanceof Stop ? error.status : 69);
  },
);
