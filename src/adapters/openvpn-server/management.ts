import { connect, type Socket } from 'node:net';
import { V6Error } from '../../core/errors.ts';
import type { VpnServerControl, VpnSession } from '../../portal/interfaces/vpn-server.ts';
import { parseStatus } from './status.ts';

/** How long one command may take, in ms. */
const ANSWER_MS = 3000;
/** Pause before a lost connection is made again, in ms. */
const RECONNECT_MS = 500;

interface Waiting {
  readonly isBlock: boolean;
  readonly lines: string[];
  readonly resolve: (lines: readonly string[]) => void;
  readonly reject: (error: unknown) => void;
  readonly timer: NodeJS.Timeout;
}

/**
 * The management socket of an OpenVPN server (doc/management-notes.txt of openvpn 2.6). It takes one client at a time, so
 * this connection is kept and made again whenever it is lost.
 */
export class OpenVpnServerControl implements VpnServerControl {
  readonly #path: string;
  #socket: Socket | undefined;
  #retry: NodeJS.Timeout | undefined;
  #isOpen = false;
  #isClosed = false;
  #rest = '';
  readonly #waiting: Waiting[] = [];

  constructor(path: string) {
    this.#path = path;
    this.#connect();
  }

  async isReady(): Promise<boolean> {
    const lines = await this.#ask('state', true);
    return lines.some((line) => line.includes(',CONNECTED,SUCCESS'));
  }

  async sessions(): Promise<readonly VpnSession[]> {
    return parseStatus(await this.#ask('status 3', true));
  }

  async cut({ clientId }: Pick<VpnSession, 'clientId' | 'commonName'>): Promise<void> {
    if (!/^\d+$/.test(clientId)) return;
    // With its default message RESTART the client connects anew at once, instead of waiting for its ping time-out.
    await this.#ask(`client-kill ${clientId}`, false);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retry);
    this.#socket?.destroy();
    this.#fail(unreachable(this.#path, 'closed'));
  }

  #connect(): void {
    const socket = connect(this.#path);
    socket.setEncoding('utf8');
    this.#socket = socket;
    this.#rest = '';
    socket.on('connect', () => {
      this.#isOpen = true;
    });
    socket.on('data', (chunk: string) => this.#read(chunk));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#isOpen = false;
      this.#fail(unreachable(this.#path, 'the connection was lost'));
      if (this.#isClosed) return;
      this.#retry = setTimeout(() => this.#connect(), RECONNECT_MS);
      this.#retry.unref();
    });
  }

  #ask(command: string, isBlock: boolean): Promise<readonly string[]> {
    const socket = this.#socket;
    if (!this.#isOpen || socket === undefined) {
      return Promise.reject(unreachable(this.#path, 'not connected'));
    }
    return new Promise((resolve, reject) => {
      // Answers carry no number: after a late one nothing fits any more, so the connection is given up.
      const timer = setTimeout(() => socket.destroy(), ANSWER_MS);
      this.#waiting.push({ isBlock, lines: [], resolve, reject, timer });
      socket.write(`${command}\n`);
    });
  }

  #read(chunk: string): void {
    const lines = `${this.#rest}${chunk}`.split('\n');
    this.#rest = lines.pop() ?? '';
    for (const raw of lines) this.#take(raw.replace(/\r$/, ''));
  }

  #take(line: string): void {
    const current = this.#waiting[0];
    // Lines that start with > are events, not answers.
    if (current === undefined || line.startsWith('>')) return;
    const isEnd = current.isBlock ? line === 'END' : true;
    if (!isEnd && !line.startsWith('ERROR:')) {
      current.lines.push(line);
      return;
    }
    this.#waiting.shift();
    clearTimeout(current.timer);
    current.resolve(current.isBlock ? current.lines : [line]);
  }

  #fail(error: V6Error): void {
    for (const { reject, timer } of this.#waiting.splice(0)) {
      clearTimeout(timer);
      reject(error);
    }
  }
}

function unreachable(path: string, reason: string): V6Error {
  return new V6Error(
    'V6_VPN_SERVER_UNREACHABLE',
    `The VPN server's management socket does not answer (${reason}): ${path}`,
    { hints: ['Start it again: v6 portal start', 'Look at the log of its container.'] },
  );
}
