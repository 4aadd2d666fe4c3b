import { connect, type Socket } from 'node:net';
import { V6Error } from '../../core/errors.ts';
import {
  isListCommand,
  type Management,
  type ManagementEvent,
  parseLogLine,
  parseNotification,
  parseStateLine,
  replyEnd,
} from '../../core/vpn/management.ts';

/** Between two attempts to reach the socket, ms: it appears when openvpn starts. */
const RETRY_MS = 100;
/** Between two pings, ms; one that stays unanswered for two rounds is that of a frozen process: noticed within 6 s. */
const PING_MS = 2000;
const ROUNDS = 2;
/** Characters between two pings at most; openvpn says a few hundred, and its history of 250 log lines once. */
const TALK_LIMIT = 1024 * 1024;
/** Before the next attempt to reach one that said more, ms. */
const FLOOD_PAUSE_MS = 5000;

interface Pending {
  readonly command: string;
  readonly isList: boolean;
  readonly lines: string[];
  readonly resolve: (lines: readonly string[]) => void;
  readonly reject: (error: V6Error) => void;
}

/**
 * The management socket of one openvpn (it takes a single client). Connects whenever the socket exists, asks for all
 * states and log lines, also the past ones, and reports them as events; a ping every 2 s notices a frozen process.
 */
export class ManagementSocket implements Management {
  readonly #path: string;
  readonly #setUp: readonly string[];
  readonly #listeners: ((event: ManagementEvent) => void)[] = [];
  #socket: Socket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #pings: NodeJS.Timeout | undefined;
  #pending: Pending[] = [];
  #rest = '';
  #heard = 0;
  #pauseMs = RETRY_MS;
  #isClosed = false;
  #isOpen = false;
  #unanswered = 0;

  /** `setUp`: commands sent on every new connection. */
  constructor(path: string, setUp: readonly string[] = DEFAULT_SET_UP) {
    this.#path = path;
    this.#setUp = setUp;
    this.#connect();
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  onEvent(listener: (event: ManagementEvent) => void): void {
    this.#listeners.push(listener);
  }

  send(command: string): Promise<readonly string[]> {
    if (/[\r\n]/.test(command)) throw new RangeError('a command is one line');
    const socket = this.#socket;
    if (!socket || !this.#isOpen) return Promise.reject(this.#lost(command));
    return new Promise((resolve, reject) => {
      this.#pending.push({ command, isList: isListCommand(command), lines: [], resolve, reject });
      socket.write(`${command}\n`);
    });
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#socket?.destroy();
    this.#drop();
  }

  #connect(): void {
    const socket = connect(this.#path);
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('connect', () => this.#opened(socket));
    socket.on('data', (text: string) => this.#read(text));
    // Absent, refused or lost all mean the same: openvpn is not there now.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      if (this.#socket !== socket) return;
      this.#drop();
      if (!this.#isClosed) this.#timer = setTimeout(() => this.#connect(), this.#pauseMs);
    });
  }

  #opened(socket: Socket): void {
    if (this.#isClosed) {
      socket.destroy();
      return;
    }
    this.#isOpen = true;
    this.#unanswered = 0;
    this.#rest = '';
    this.#heard = 0;
    this.#pauseMs = RETRY_MS;
    this.#emit({ type: 'open' });
    for (const command of this.#setUp) this.send(command).catch(() => undefined);
    this.#pings = setInterval(() => this.#ping(), PING_MS);
  }

  /** A process that answers late is frozen for its tunnel as well. */
  #ping(): void {
    this.#heard = 0;
    if (this.#pending.some(({ command }) => command === 'pid')) {
      this.#unanswered += 1;
      if (this.#unanswered >= ROUNDS) this.#emit({ type: 'frozen' });
      return;
    }
    this.#unanswered = 0;
    this.send('pid').catch(() => undefined);
  }

  #drop(): void {
    clearInterval(this.#pings);
    const wasOpen = this.#isOpen;
    this.#isOpen = false;
    const pending = this.#pending;
    this.#pending = [];
    for (const { command, reject } of pending) reject(this.#lost(command));
    if (wasOpen && !this.#isClosed) this.#emit({ type: 'closed' });
  }

  #lost(command: string): V6Error {
    const [word = ''] = command.split(' ');
    return new V6Error(
      'V6_VPN_CLIENT_FAILED',
      `openvpn is not there to answer ${JSON.stringify(word)}`,
      {
        details: { socket: this.#path },
      },
    );
  }

  #read(text: string): void {
    this.#heard += text.length;
    if (this.#heard > TALK_LIMIT) {
      // What floods us is not openvpn, and what it says would pile up here.
      this.#pauseMs = FLOOD_PAUSE_MS;
      this.#emit({ type: 'fatal', message: 'The management socket says more than openvpn would' });
      this.#socket?.destroy();
      return;
    }
    const parts = (this.#rest + text).split('\n');
    this.#rest = parts.pop() ?? '';
    for (const part of parts) this.#line(part.replace(/\r$/, ''));
  }

  #line(line: string): void {
    if (line.startsWith('>')) {
      const event = parseNotification(line);
      if (event) this.#emit(event);
      return;
    }
    const current = this.#pending[0];
    if (!current) return;
    const end = replyEnd(line, current.isList);
    if (!end) {
      this.#listLine(current, line);
      return;
    }
    this.#pending.shift();
    if (end.ok) current.resolve(current.isList ? current.lines : [end.text]);
    else
      current.reject(
        new V6Error('V6_VPN_CLIENT_FAILED', `openvpn refused ${current.command}: ${end.text}`),
      );
  }

  /** Past states and log lines come as the answer to `state on all` and `log on all`: the same events as those to come. */
  #listLine(current: Pending, line: string): void {
    current.lines.push(line);
    if (line.startsWith('SUCCESS:')) return;
    const event = current.command.startsWith('state on')
      ? parseStateLine(line)
      : current.command.startsWith('log on')
        ? parseLogLine(line)
        : undefined;
    if (event) this.#emit(event);
  }

  #emit(event: ManagementEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

/** The log comes first, so that the causes of the past are known when its states are judged. */
const DEFAULT_SET_UP = ['log on all', 'state on all', 'bytecount 5'] as const;

/** Opens the management socket at this path, now or when it appears. */
export function openManagement(socketPath: string): Management {
  return new ManagementSocket(socketPath);
}
