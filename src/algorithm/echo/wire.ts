import { randomBytes } from 'node:crypto';

/**
 * What echo containers say to each other: one line of text per TCP message, the same without the line end per datagram.
 *
 *   v6-echo/1 KIND TASK FROM TO NONCE
 *
 * `probe` asks for a `reply` with the same nonce; `done` says that the sender has ended its probes of the receiver, and
 * asks for an `ack`. An answer carries the answerer's own task and organization, so that a stale address shows.
 */
export interface EchoMessage {
  readonly kind: 'probe' | 'reply' | 'done' | 'ack';
  readonly task: number;
  readonly from: number;
  readonly to: number;
  /** 16 hex digits. */
  readonly nonce: string;
}

const MESSAGE =
  /^v6-echo\/1 (probe|reply|done|ack) (\d{1,15}) (\d{1,15}) (\d{1,15}) ([0-9a-f]{16})$/;

/** Longest message, in bytes; whoever sends more without a line end is cut off. */
export const MAX_MESSAGE_BYTES = 128;

export function renderMessage({ kind, task, from, to, nonce }: EchoMessage): string {
  return `v6-echo/1 ${kind} ${task} ${from} ${to} ${nonce}`;
}

/** Undefined when the text is no message of ours. */
export function parseMessage(text: string): EchoMessage | undefined {
  const match = MESSAGE.exec(text);
  if (match === null) return undefined;
  const [, kind, task, from, to, nonce = ''] = match;
  return {
    kind: kind as EchoMessage['kind'],
    task: Number(task),
    from: Number(from),
    to: Number(to),
    nonce,
  };
}

export const newNonce = (): string => randomBytes(8).toString('hex');

/** Who an echo container is in its task. */
export interface Self {
  readonly task: number;
  readonly organization: number;
}

/** The answer to a probe or a done, in the answerer's own name. */
export function answerTo(message: EchoMessage, self: Self): EchoMessage {
  return {
    kind: message.kind === 'probe' ? 'reply' : 'ack',
    task: self.task,
    from: self.organization,
    to: message.from,
    nonce: message.nonce,
  };
}
