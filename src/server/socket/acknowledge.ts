import type { z } from 'zod';
import type { ErrorCode } from '../../core/errors.ts';
import { errorsOf } from '../http/errors.ts';
import type { TaskSocket } from './sockets.ts';

/**
 * What a sender gets that asks for an acknowledgement: the body of the REST interface with its status. vantage6 4.x asks for
 * none, and then a refused event is only noted in the log.
 */
export interface EventAnswer {
  readonly status: number;
  readonly msg: string;
  readonly code?: ErrorCode;
  readonly errors?: Readonly<Record<string, unknown>>;
}

export const TAKEN: EventAnswer = { status: 200, msg: 'Taken' };

export const invalidPayload = (error: z.ZodError): EventAnswer => ({
  status: 400,
  msg: 'The payload does not fit its schema',
  code: 'V6_REQUEST_INVALID',
  errors: errorsOf(error.issues),
});

export const unknownRun = (run: number): EventAnswer => ({
  status: 404,
  msg: `Run ${run} is not an open run of this node`,
  code: 'V6_REQUEST_NOT_FOUND',
  errors: { run_id: ['Not an open run of this node.'] },
});

/** What came with an event, and how to answer it: an acknowledgement that was asked for is the last argument. */
export function received(args: readonly unknown[]): {
  readonly payload: unknown;
  readonly answer: (answer: EventAnswer) => void;
} {
  const last = args.at(-1);
  if (typeof last !== 'function') return { payload: args[0], answer: () => undefined };
  const acknowledge = last as (answer: EventAnswer) => void;
  return { payload: args.length > 1 ? args[0] : undefined, answer: acknowledge };
}

/** Answers events that nobody handles. */
export function answerOthers(socket: TaskSocket, known: ReadonlySet<string>): void {
  socket.onAny((event: string, ...args: unknown[]) => {
    if (known.has(event)) return;
    received(args).answer({
      status: 404,
      msg: 'There is no such event for this caller',
      code: 'V6_REQUEST_NOT_FOUND',
    });
  });
}
