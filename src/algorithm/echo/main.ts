import process from 'node:process';
import { runAlgorithm } from '../run.ts';
import { ECHO_METHODS } from './methods.ts';

// Entry point of the echo image. Any failure ends in exit status 1 with its stack in the log, as nodes expect it.
const stop = new AbortController();
for (const name of ['SIGTERM', 'SIGINT'] as const) {
  process.once(name, () => {
    stop.abort(new Error(`stopped by ${name}`));
  });
}
try {
  await runAlgorithm(ECHO_METHODS, process.env, stop.signal);
} catch (error) {
  process.stderr.write(
    `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  process.exitCode = 1;
}
