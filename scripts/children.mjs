// Programs that the bootstrap starts: each in a process group of its own, so that Ctrl-C reaches it exactly once, through us.
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';

export class ChildError extends Error {
  constructor(title, status, tail) {
    super(`${title} ended with status ${status}.${tail.length > 0 ? `\n${tail.join('\n')}` : ''}`);
    this.status = status;
  }
}

/** How long a step may take to end after a signal; npm would go on to its end. */
const GRACE_MS = 3000;

function signalGroup(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch {
    // It has just ended.
  }
}

/**
 * Keeps track of running children and passes signals on. One per bootstrap. What does not end within its grace is killed;
 * what has to come to its own end (dpkg, `v6 demo up`, which undoes what it began) has no limit.
 */
export function createChildren({ logFile }) {
  const living = new Map();
  const log = createWriteStream(logFile, { flags: 'a' });
  log.on('error', () => {});
  let interruptedBy;

  const signalAll = (signal) => {
    for (const [child, { isPatient }] of living) {
      signalGroup(child, signal);
      if (!isPatient) setTimeout(() => signalGroup(child, 'SIGKILL'), GRACE_MS).unref();
    }
  };
  const interrupt = (signal) => {
    interruptedBy ??= signal;
    signalAll(signal);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => interrupt(signal));

  const start = (file, args, { isPatient = false, ...options }) => {
    if (interruptedBy !== undefined) throw new ChildError(file, interruptedBy, []);
    const child = spawn(file, args, { ...options, detached: true });
    living.set(child, { isPatient });
    child.once('close', () => living.delete(child));
    child.once('error', () => living.delete(child));
    return child;
  };

  return {
    /** The signal that ended us, once there was one. */
    interruptedBy: () => interruptedBy,

    /** Ends what still runs, because another step failed. */
    stop: () => signalAll('SIGTERM'),

    /** Runs a step with its output in the log; rejects with the last lines of it. Resolves with stdout. */
    run(title, file, args, options = {}) {
      return new Promise((resolve, reject) => {
        const child = start(file, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
        log.write(`\n# ${title}: ${[file, ...args].join(' ')}\n`);
        let tail = '';
        let stdout = '';
        child.stdout.on('data', (chunk) => {
          stdout += chunk;
        });
        for (const stream of [child.stdout, child.stderr])
          stream.on('data', (chunk) => {
            log.write(chunk);
            tail = (tail + chunk).slice(-3000);
          });
        child.once('error', (error) => reject(new ChildError(title, error.code ?? 1, [file])));
        child.once('close', (code, signal) => {
          const lines = tail.trim().split('\n').slice(-15);
          if (code === 0) resolve(stdout);
          else reject(new ChildError(title, code ?? signal, lines));
        });
      });
    },

    /** Runs the thing that all this was for, with our own output; resolves with its exit status. */
    show(file, args, options = {}) {
      return new Promise((resolve, reject) => {
        const stdio = ['ignore', 'inherit', 'inherit'];
        const child = start(file, args, { ...options, stdio, isPatient: true });
        child.once('error', reject);
        child.once('close', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 143)));
      });
    },
  };
}
