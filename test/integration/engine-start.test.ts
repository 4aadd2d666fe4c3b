import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findProcess, pingEngine, startEngine } from '../../scripts/engine-start.mjs';

// An engine of its own beside the one of the machine: own socket, data and containerd, and a network name space of its own,
// because an engine without a bridge deletes the link docker0 where it finds one.
let folder: string;
let engine: Parameters<typeof startEngine>[0] & object;
const at = (name: string): string => path.join(folder, name);
const enginePid = (): number | undefined => findProcess(engine.pidFile, 'dockerd');

async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await isTrue())) {
    if (Date.now() > deadline) throw new Error(`Not within 20 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

beforeAll(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'v6e-'));
  engine = {
    program: 'unshare',
    processName: 'dockerd',
    args: [
      '--net',
      'dockerd',
      `--host=unix://${at('docker.sock')}`,
      `--pidfile=${at('docker.pid')}`,
      `--data-root=${at('data')}`,
      `--exec-root=${at('exec')}`,
      '--storage-driver=vfs',
      '--bridge=none',
      '--iptables=false',
      '--ip-forward=false',
      '--ip-masq=false',
    ],
    socket: at('docker.sock'),
    pidFile: at('docker.pid'),
    execRoot: at('exec'),
    containerdSocket: at('containerd.sock'),
    log: at('dockerd.log'),
    isService: false,
  };
});

afterAll(async () => {
  const pid = enginePid();
  if (pid !== undefined) {
    process.kill(pid, 'SIGTERM');
    await until('the engine ended', () => enginePid() === undefined);
  }
  // A killed engine leaves its own mounts: data and network name spaces.
  const mounted = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((target) => target.startsWith(`${folder}/`));
  for (const target of mounted.toReversed()) await promisify(execFile)('umount', [target]);
  rmSync(folder, { recursive: true, force: true });
});

describe('an engine that is installed', () => {
  let links: string[];
  beforeAll(() => {
    links = readdirSync('/sys/class/net');
  });

  it('is started by a command that ends before it, in a session of its own', async () => {
    const script = path.join(import.meta.dirname, '../../scripts/engine-start.mjs');
    const code = `import(${JSON.stringify(script)}).then(async ({ startEngine }) => { const made = await startEngine(${JSON.stringify(engine)}, { timeoutMs: 40000 }); process.stdout.write(String(made.started)); process.exit(0); })`;
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', code]);
    expect(stdout).toBe('true');
    expect(await pingEngine(engine.socket)).toBe('running');
    const pid = enginePid();
    // Field 6 of stat(5) is the session.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    expect(Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[3])).toBe(pid);
  });

  it('is left alone while it runs', async () => {
    const pid = enginePid();
    expect(await startEngine(engine)).toEqual({ started: false, removed: [] });
    // What the machine's own engine stands on is as it was.
    if (links.includes('docker0')) expect(readdirSync('/sys/class/net')).toContain('docker0');
    expect(enginePid()).toBe(pid);
  });

  it('is started again after a kill, freed of its stale pid file and sockets', async () => {
    const killed = enginePid();
    if (killed === undefined) throw new Error('The engine does not run.');
    process.kill(killed, 'SIGKILL');
    await until('the engine is gone', () => enginePid() === undefined);
    expect(existsSync(engine.pidFile)).toBe(true);
    const { started, removed } = await startEngine(engine, { timeoutMs: 40_000 });
    expect(started).toBe(true);
    expect(removed).toContain(engine.pidFile);
    expect(await pingEngine(engine.socket)).toBe('running');
    expect(enginePid()).not.toBe(killed);
  });
});
