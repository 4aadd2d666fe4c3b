import type { LineStream } from '../../core/engine/engine.ts';
import { V6Error } from '../../core/errors.ts';

/** For one command, ms. Most take a few; the longest ends openvpn politely (3 s). */
const COMMAND_LIMIT_MS = 15_000;
/** What one command may print, characters: all rules with 10,000 ports are below 2 Mi. A client that says more is not ours any more. */
const OUTPUT_LIMIT = 32 * 1024 * 1024;
/** `node network show` prints what the client says, on the terminal of an administrator. */
const UNPRINTABLE = /(?!\t)[\p{Cc}\p{Cf}]/gu;

interface Pending {
  readonly marker: string;
  readonly output: string[];
  size: number;
  readonly resolve: (lines: readonly string[]) => void;
  readonly reject: (error: V6Error) => void;
  readonly timer: NodeJS.Timeout;
}

/**
 * A shell in the VPN client that stays open: one command per line, each answered by a marker line with its exit status.
 * An exec of its own costs about 70 ms for each command, this 5 ms (network-design, section 6). Commands run in order.
 */
export class CommandStream {
  readonly #stream: LineStream;
  readonly #waiting: Pending[] = [];
  #serial = 0;
  #isLost = false;
  readonly ended: Promise<void>;

  constructor(stream: LineStream, setUp: string) {
    this.#stream = stream;
    this.ended = this.#read();
    stream.write(setUp);
  }

  get isLost(): boolean {
    return this.#isLost;
  }

  /** True while a command has not been answered. */
  get isBusy(): boolean {
    return this.#waiting.length > 0;
  }

  /**
   * Runs one line of shell and gives the lines that it printed. The words of `command` must have been checked: this is a
   * shell. Throws V6_VPN_CLIENT_FAILED: exit status not 0 (`details.output`), stream lost, or no answer within `limitMs`, which
   * loses the stream.
   */
  run(command: string, limitMs = COMMAND_LIMIT_MS): Promise<readonly string[]> {
    if (/[\r\n]/.test(command)) throw new RangeError('a command is one line');
    if (this.#isLost) return Promise.reject(lost(command));
    this.#serial += 1;
    const marker = `v6-end-${this.#serial}`;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.close(), limitMs);
      this.#waiting.push({ marker, output: [], size: 0, resolve, reject, timer });
      this.#stream.write(`{ ${command}; } </dev/null 2>&1; printf '\\n${marker} %s\\n' "$?"`);
    });
  }

  close(): void {
    this.#isLost = true;
    this.#stream.close();
    for (const { reject, timer, marker } of this.#waiting.splice(0)) {
      clearTimeout(timer);
      reject(lost(marker));
    }
  }

  async #read(): Promise<void> {
    try {
      for await (const line of this.#stream.lines) this.#line(line);
    } finally {
      this.close();
    }
  }

  #line(line: string): void {
    const current = this.#waiting[0];
    if (!current) return;
    if (!line.startsWith(`${current.marker} `)) {
      current.output.push(line.replace(UNPRINTABLE, ''));
      current.size += line.length + 1;
      if (current.size > OUTPUT_LIMIT) this.close();
      return;
    }
    this.#waiting.shift();
    clearTimeout(current.timer);
    const status = Number(line.slice(current.marker.length + 1));
    // The marker begins a new line in any case, so that the output's last line may be empty.
    if (current.output.at(-1) === '') current.output.pop();
    if (status === 0) {
      current.resolve(current.output);
      return;
    }
    current.reject(
      new V6Error(
        'V6_VPN_CLIENT_FAILED',
        `A command in the VPN client ended with status ${status}`,
        { details: { status, output: current.output.slice(-10).join('\n') } },
      ),
    );
  }
}

function lost(what: string): V6Error {
  return new V6Error('V6_VPN_CLIENT_FAILED', 'The VPN client does not answer', {
    hints: ['It is started again by itself; `docker ps -a` shows what it does.'],
    details: { lost: true, command: what.split(' ')[0] },
  });
}

/** True when the stream broke, not the command. */
export function isLostStream(error: unknown): boolean {
  return error instanceof V6Error && error.details.lost === true;
}
