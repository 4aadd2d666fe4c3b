import { type Ipv4, isIpv4 } from '../net/ipv4.ts';

/**
 * OpenVPN's management protocol (openvpn: doc/management-notes.txt), the part that a tunnel's supervisor needs.
 * Lines that begin with `>` come by themselves; all others answer commands, in order.
 */
export type ManagementEvent =
  /** The socket is connected: what follows is about one openvpn process. */
  | { readonly type: 'open' }
  /** The process ended or the socket was lost. */
  | { readonly type: 'closed' }
  /** A command stayed unanswered for 5 s: the process lives and does nothing. */
  | { readonly type: 'frozen' }
  | OpenVpnState
  | OpenVpnLog
  /** Bytes over the link since the process connected. */
  | { readonly type: 'bytes'; readonly received: number; readonly sent: number }
  | { readonly type: 'fatal'; readonly message: string };

export interface OpenVpnState {
  readonly type: 'state';
  readonly at: Date;
  /** CONNECTING, RESOLVE, WAIT, AUTH, GET_CONFIG, ASSIGN_IP, ADD_ROUTES, CONNECTED, RECONNECTING, EXITING, TCP_CONNECT … */
  readonly name: string;
  /** SUCCESS, or a reason such as tls-error, ping-restart, auth-failure, connection-reset. */
  readonly detail: string;
  /** The tunnel address, from ASSIGN_IP on. */
  readonly address: Ipv4 | undefined;
  /** `address:port` of the server, when connected. */
  readonly remote: string | undefined;
}

export interface OpenVpnLog {
  readonly type: 'log';
  readonly at: Date;
  /** Letters of the severity: F fatal, N non-fatal error, W warning, I info, D debug. */
  readonly flags: string;
  readonly message: string;
}

/** The end of a command's answer, or undefined for a line in its middle. */
export type ReplyEnd = { readonly ok: boolean; readonly text: string };

const STATE_NAME = /^[A-Z][A-Z_]*$/;

/** Characters of a message at most. */
const MAX_MESSAGE = 4000;

/** It ends up on terminals and in logs, and parts of it were written by the VPN server, or by whoever holds the VPN client. */
function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, ' ').slice(0, MAX_MESSAGE);
}

function fromSeconds(text: string): Date | undefined {
  return /^\d{1,12}$/.test(text) ? new Date(Number(text) * 1000) : undefined;
}

/** `time,NAME,detail,tunnel address,remote address,remote port,local address,local port,IPv6`; later fields may lack. */
export function parseStateLine(text: string): OpenVpnState | undefined {
  const [time = '', name = '', detail = '', address = '', host = '', port = ''] = text.split(',');
  const at = fromSeconds(time);
  if (at === undefined || !STATE_NAME.test(name)) return undefined;
  return {
    type: 'state',
    at,
    name,
    detail: plain(detail),
    address: isIpv4(address) ? address : undefined,
    remote: isIpv4(host) && port !== '' ? `${host}:${port}` : undefined,
  };
}

/** `time,flags,message`; the message may hold commas. */
export function parseLogLine(text: string): OpenVpnLog | undefined {
  const match = /^(\d+),([A-Z]*),(.*)$/s.exec(text);
  const at = match && fromSeconds(match[1] ?? '');
  return match && at
    ? { type: 'log', at, flags: match[2] ?? '', message: plain(match[3] ?? '') }
    : undefined;
}

/** A line that begins with `>`; undefined for kinds that we do not use (INFO, HOLD, ECHO …). */
export function parseNotification(line: string): ManagementEvent | undefined {
  const match = /^>([A-Z_]+):(.*)$/s.exec(line);
  if (!match) return undefined;
  const text = match[2] ?? '';
  switch (match[1]) {
    case 'STATE':
      return parseStateLine(text);
    case 'LOG':
      return parseLogLine(text);
    case 'FATAL':
      return { type: 'fatal', message: plain(text) };
    case 'BYTECOUNT': {
      const bytes = /^(\d+),(\d+)$/.exec(text);
      return bytes
        ? { type: 'bytes', received: Number(bytes[1]), sent: Number(bytes[2]) }
        : undefined;
    }
    default:
      return undefined;
  }
}

/** How the answer to a command ends: one SUCCESS or ERROR line, or for lists a line END (after SUCCESS where a switch was thrown as well). */
export function replyEnd(line: string, isList: boolean): ReplyEnd | undefined {
  if (line.startsWith('ERROR:')) return { ok: false, text: line.slice(6).trim() };
  if (isList) return line === 'END' ? { ok: true, text: '' } : undefined;
  return line.startsWith('SUCCESS:') ? { ok: true, text: line.slice(8).trim() } : undefined;
}

/** `state`, `log`, `status` and `version` answer with a list, also as `on all`; `on` and `off` alone answer with one line. */
export function isListCommand(command: string): boolean {
  return (
    /^(status|version|help)\b/.test(command) ||
    /^(state|log|echo)( \d+| all| on all)?$/.test(command)
  );
}

/** What a supervisor holds of one openvpn's management socket; it reconnects by itself until it is closed. */
export interface Management {
  onEvent(listener: (event: ManagementEvent) => void): void;
  /** Sends one command and gives the lines of its answer. Throws V6_VPN_CLIENT_FAILED when refused, unanswered or not connected. */
  send(command: string): Promise<readonly string[]>;
  readonly isOpen: boolean;
  close(): void;
}
