import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

interface LoadNode {
  readonly id: number;
  readonly token: string;
}

export type LoadCommand =
  | {
      readonly type: 'connect';
      readonly origin: string;
      readonly transport: 'websocket' | 'polling';
      readonly nodes: readonly LoadNode[];
      /** How many connect at the same time. */
      readonly atOnce: number;
    }
  | {
      readonly type: 'listen';
      /** Read the run afterwards, as nodes do. */
      readonly reads: boolean;
      readonly limitMs: number;
    }
  | {
      readonly type: 'login';
      readonly origin: string;
      readonly apiKeys: readonly string[];
      /** Then read the own node, organization and collaboration, as a node does when it starts. */
      readonly reads: boolean;
    }
  | { readonly type: 'close' };

export interface LoadAnswer {
  readonly times: readonly number[];
  readonly readAt?: readonly number[];
  readonly error?: string;
}

/** The process that plays the nodes. */
export interface Load {
  do(command: LoadCommand): Promise<LoadAnswer>;
  /** Resolves with the wait for the answer when all nodes listen. */
  listen(options: { readonly reads: boolean; readonly limitMs: number }): Promise<{
    readonly answer: Promise<LoadAnswer>;
  }>;
  stop(): Promise<void>;
}

export function startLoad(): Load {
  const child = fork(path.join(import.meta.dirname, 'load-process.ts'), {
    execArgv: ['--max-http-header-size=65536'],
  });
  return {
    do: (command) => {
      child.send(command);
      return next(child);
    },
    listen: async (options) => {
      child.send({ type: 'listen', ...options });
      await once(child, 'message');
      return { answer: next(child) };
    },
    stop: async () => {
      if (child.exitCode !== null) return;
      const exited = once(child, 'exit');
      child.send({ type: 'close' });
      const kill = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await exited;
      clearTimeout(kill);
    },
  };
}

async function next(child: ChildProcess): Promise<LoadAnswer> {
  const ended = new AbortController();
  const message = once(child, 'message', { signal: ended.signal });
  const exit = once(child, 'exit', { signal: ended.signal }).then(() => {
    throw new Error('The process that plays the nodes ended.');
  });
  try {
    const [answer] = (await Promise.race([message, exit])) as [LoadAnswer];
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer;
  } finally {
    ended.abort();
    message.catch(() => undefined);
    exit.catch(() => undefined);
  }
}
