import type { Engine } from '../../core/engine/engine.ts';
import { V6Error } from '../../core/errors.ts';
import { CommandStream, isLostStream } from '../vpn-client/command-stream.ts';
import type { HostContainer } from './host-container.ts';

/** Runs one line of shell on the host's network and gives what it printed. Throws V6_FIREWALL_READ or what `failAs` says. */
export type RunOnHost = (command: string, failAs?: HostFailure) => Promise<string>;
export type HostFailure = 'V6_FIREWALL_READ' | 'V6_FIREWALL_APPLY';

export interface HostShellDeps {
  readonly engine: Pick<Engine, 'containers'>;
  readonly container: HostContainer;
}

/**
 * A shell on the host's network that stays open. Rules of several nodes are read and changed under a lock that ends with the
 * shell, whatever becomes of us.
 */
export class HostShell {
  readonly #deps: HostShellDeps;
  #stream: CommandStream | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(deps: HostShellDeps) {
    this.#deps = deps;
  }

  /** One session after the other. What it does is done once more, from its begin, when the shell is lost in the middle. */
  session<T>(work: (run: RunOnHost) => Promise<T>): Promise<T> {
    const result = this.#turn.then(() => this.#attempt(work));
    this.#turn = result.catch(() => undefined);
    return result;
  }

  /** As `session`, while no other node of this host is in one. */
  exclusively<T>(work: (run: RunOnHost) => Promise<T>): Promise<T> {
    return this.session(async (run) => {
      await run(LOCK, 'V6_FIREWALL_APPLY');
      try {
        return await work(run);
      } finally {
        // A shell that is gone holds nothing.
        await run(UNLOCK).catch(() => undefined);
      }
    });
  }

  async close(): Promise<void> {
    await this.#turn;
    this.#stream?.close();
    this.#stream = undefined;
    await this.#deps.container.remove();
  }

  /** The next session begins with a new shell. */
  reopen(): void {
    this.#stream?.close();
  }

  async #attempt<T>(work: (run: RunOnHost) => Promise<T>): Promise<T> {
    const isUsed = this.#stream !== undefined && !this.#stream.isLost;
    const stream = isUsed && this.#stream !== undefined ? this.#stream : await this.#open();
    try {
      return await work(runIn(stream));
    } catch (error) {
      if (!isLostShell(error) || !isUsed) throw error;
      return work(runIn(await this.#open()));
    }
  }

  async #open(): Promise<CommandStream> {
    const { engine, container } = this.#deps;
    this.#stream?.close();
    const id = await container.running();
    const lines = await engine.containers.openStream(id, ['/bin/sh']);
    this.#stream = new CommandStream(lines, ':');
    return this.#stream;
  }
}

/** True when the shell broke, not the command in it. */
export function isLostShell(error: unknown): boolean {
  return error instanceof V6Error && isLostStream(error.cause);
}

/**
 * A lock that all containers on the host's network share and that leaves no file: sysfs is one for each network. The shell keeps
 * it as its ninth file; socat only knows how to ask for it. Asked for again and again, because `timeout` would leave a process
 * behind that holds the file.
 */
const LOCK = [
  'exec 9</sys/class/net/lo/mtu',
  'n=0',
  'until socat -t 0 -u FD:9,flock-ex-nb /dev/null 2>/dev/null; do n=$((n + 1)); [ "$n" -le 120 ] || break; sleep 0.05; done',
  '[ "$n" -le 120 ] || { exec 9<&-; echo "another node has been changing rules for 10 s"; false; }',
].join('; ');
const UNLOCK = 'exec 9<&-';

function runIn(stream: CommandStream): RunOnHost {
  return async (command, failAs = 'V6_FIREWALL_READ') => {
    try {
      return (await stream.run(command)).join('\n');
    } catch (error) {
      throw failure(failAs, error);
    }
  };
}

function failure(code: HostFailure, cause: unknown): V6Error {
  const { message, details } =
    cause instanceof V6Error ? cause : new V6Error('V6_BUG', String(cause));
  const reason = isLostStream(cause)
    ? 'the container on the host’s network does not answer'
    : typeof details.output === 'string' && details.output.trim() !== ''
      ? details.output.trim()
      : message;
  const verb = code === 'V6_FIREWALL_READ' ? 'read' : 'apply';
  return new V6Error(code, `Could not ${verb} the rules of v6 on this host: ${reason}`, {
    hints: [
      'The engine must be allowed to start a container with the host’s network and NET_ADMIN.',
      'The kernel must have nf_tables: `modprobe nf_tables`.',
    ],
    details: { output: reason },
    cause,
  });
}
