import { spawn } from 'node:child_process';
import path from 'node:path';

const DEV = path.join(import.meta.dirname, '../../bin/dev.js');

export interface CliResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  /** Beside PATH; nothing else of our own environment is passed on. */
  readonly env?: Readonly<Record<string, string>>;
  /** What standard input holds; it is never a terminal. */
  readonly input?: string;
  /** Called with standard error as it grows, to act while the command runs. */
  readonly onStderr?: (text: string, interrupt: () => void) => void;
}

/** The command line as a process of its own, from sources, without a terminal. */
export async function runCli(
  args: readonly string[],
  { env = {}, input = '', onStderr }: CliOptions = {},
): Promise<CliResult> {
  const child = spawn(process.execPath, [DEV, ...args], {
    env: { PATH: process.env.PATH, NODE_NO_WARNINGS: '1', ...env },
    timeout: 60_000,
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
    onStderr?.(stderr, () => child.kill('SIGINT'));
  });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const status = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      resolve(code ?? -1);
    });
  });
  return { status, stdout, stderr };
}
