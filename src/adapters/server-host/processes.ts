import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { V6Error } from '../../core/errors.ts';
import type { ProcessIdentity, ServerProcesses, Spawned } from '../../server/interfaces/host.ts';

/** `program` is our command line: the executable and the arguments that come before those of a command. */
export function createProcesses(program: readonly [string, ...string[]]): ServerProcesses {
  return {
    own: () => ({ pid: process.pid, startedAtTick: startOf(process.pid) ?? '' }),
    spawn: (args, logFile) => start(program, args, logFile),
    isAlive: isSame,
    signal: (identity, signal) => {
      // Between this look and the call nothing can take the number of a process that lives.
      if (isSame(identity)) send(identity.pid, signal);
    },
  };
}

async function start(
  [executable, ...before]: readonly [string, ...string[]],
  args: readonly string[],
  logFile: string,
): Promise<Spawned> {
  const log = openSync(logFile, 'a', 0o600);
  try {
    // Not execa: its child ends with us, and its output would come through us.
    const child = spawn(executable, [...before, ...args], {
      cwd: '/',
      detached: true,
      stdio: ['ignore', log, log],
    });
    await once(child, 'spawn');
    child.unref();
    const pid = child.pid ?? 0;
    const startedAtTick = startOf(pid) ?? '';
    return { identity: { pid, startedAtTick }, exitCode: () => exitOf(child) };
  } catch (cause) {
    throw new V6Error('V6_CONFIG_WRITE', `${executable} cannot be started: ${String(cause)}`, {
      cause,
    });
  } finally {
    closeSync(log);
  }
}

function exitOf({
  exitCode,
  signalCode,
}: {
  readonly exitCode: number | null;
  readonly signalCode: string | null;
}): number | undefined {
  if (exitCode !== null) return exitCode;
  return signalCode === null ? undefined : 128;
}

function isSame({ pid, startedAtTick }: ProcessIdentity): boolean {
  return startedAtTick !== '' && startOf(pid) === startedAtTick;
}

/** Boot and tick of a start; undefined when no such process lives, a zombie included. */
function startOf(pid: number): string | undefined {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    const line = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in brackets may hold anything; behind it come state (3) and, as field 22, the start (proc_pid_stat(5)).
    const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
    const [state] = fields;
    const tick = fields[19];
    return state === 'Z' || state === 'X' || tick === undefined ? undefined : `${boot}/${tick}`;
  } catch {
    return undefined;
  }
}

function send(pid: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ESRCH') return;
    throw new V6Error('V6_NET_PRIVILEGE', `Process ${pid} of the server belongs to another user`, {
      cause,
      hints: ['Run the command as the user who started the server, or as root.'],
    });
  }
}
