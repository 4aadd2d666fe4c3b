import type { FastifyError, FastifyReply, FastifyRequest, FastifySchemaCompiler } from 'fastify';
import type { ZodType } from 'zod';
import { type ErrorCode, V6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { ErrorBody } from '../../core/protocol/entities.ts';
import { callerName, routeOf } from './access-log.ts';
import { dataFaults } from './plain-data.ts';

/** Checks bodies, queries and parameters; what does not fit is V6_REQUEST_INVALID with `errors` by field. */
export const validatorCompiler: FastifySchemaCompiler<ZodType> =
  ({ schema }) =>
  (data) => {
    const faults = dataFaults(data);
    if (faults.length > 0) return { error: unfit(faults) };
    const { success, data: value, error } = schema.safeParse(data);
    return success ? { value } : { error: unfit(error.issues) };
  };

const unfit = (issues: readonly Issue[]): V6Error =>
  new V6Error('V6_REQUEST_INVALID', 'The request does not fit its schema', {
    details: { errors: errorsOf(issues) },
  });

interface Issue {
  readonly code?: string;
  readonly keys?: readonly string[];
  readonly path?: readonly PropertyKey[];
  readonly message: string;
}

/** The one place where a failure becomes an answer: a status, `msg` and `code`; never a stack, never HTML. */
export function createErrorHandler(logger: Logger) {
  return (thrown: FastifyError, request: FastifyRequest, reply: FastifyReply): void => {
    const error = toKnown(thrown);
    if (error === undefined) {
      logger.error('A request failed with a bug', {
        request: request.id,
        route: routeOf(request),
        error: thrown,
      });
      logger.debug('Stack of the bug', { request: request.id, stack: thrown.stack });
      void reply.code(500).send({ msg: 'Internal error of the server', code: 'V6_BUG' });
      return;
    }
    if (error.entry.httpStatus >= 500) {
      logger.warn('A request failed', {
        request: request.id,
        route: routeOf(request),
        code: error.code,
        reason: error.message,
      });
    }
    if (NOTED.includes(error.code))
      logger.info('A request was refused', {
        request: request.id,
        route: routeOf(request),
        code: error.code,
        caller: callerName(request),
        source: request.ip,
      });
    if (error.code === 'V6_REQUEST_RATE') reply.header('retry-after', retryAfter(error));
    if (error.entry.httpStatus === 401) reply.header('www-authenticate', 'Bearer');
    void reply.code(statusOf(thrown, error)).send(bodyOf(error));
  };
}

/** What somebody may have tried on purpose. An expired token is everyday. */
const NOTED: readonly ErrorCode[] = [
  'V6_AUTH_FORBIDDEN',
  'V6_AUTH_TOKEN_INVALID',
  'V6_REQUEST_RATE',
  'V6_RECOVERY_TOKEN',
  'V6_TLS_REQUIRED',
  'V6_VPN_PLAIN_HTTP',
];

/** In seconds. */
function retryAfter({ details }: V6Error): string {
  const { retryAfterSeconds: seconds } = details;
  return typeof seconds === 'number' ? String(seconds) : '60';
}

/** `msg` carries the next step too: Python clients print nothing else. */
function bodyOf(error: V6Error): ErrorBody {
  const { errors } = error.details as { errors?: Readonly<Record<string, unknown>> };
  return {
    msg: [error.message, ...error.hints].join('. ').replaceAll('..', '.'),
    code: error.code,
    ...(errors === undefined ? {} : { errors }),
  };
}

function toKnown(thrown: FastifyError | V6Error): V6Error | undefined {
  if (thrown instanceof V6Error) return thrown.code === 'V6_BUG' ? undefined : thrown;
  const { statusCode } = thrown;
  if (statusCode === undefined || statusCode < 400 || statusCode >= 500) return undefined;
  const code: ErrorCode = statusCode === 404 ? 'V6_REQUEST_NOT_FOUND' : 'V6_REQUEST_INVALID';
  // Some of the framework's repeat the whole request line.
  return new V6Error(code, thrown.message.slice(0, 300));
}

/** Framework errors (413, 415 …) keep their own status. */
function statusOf(thrown: FastifyError | V6Error, error: V6Error): number {
  if (thrown instanceof V6Error) return error.entry.httpStatus;
  return thrown.statusCode ?? error.entry.httpStatus;
}

/** Fields that one answer names: a request with a million wrong ones gets no larger answer. */
const MAX_FIELDS = 50;
const fieldName = (key: PropertyKey): string => String(key).slice(0, 128);

/** Upstream's form: by field, leaves are lists of sentences; what concerns the whole stands under `_schema`. */
export function errorsOf(issues: readonly Issue[]): Record<string, unknown> {
  const out = plainObject();
  for (const issue of issues.slice(0, MAX_FIELDS)) {
    const path = (issue.path ?? []).map(fieldName);
    const places =
      issue.code === 'unrecognized_keys'
        ? (issue.keys ?? []).slice(0, MAX_FIELDS).map((key) => [...path, fieldName(key)])
        : [path.length > 0 ? path : ['_schema']];
    const message = issue.code === 'unrecognized_keys' ? 'Unknown field.' : `${issue.message}.`;
    for (const place of places) addAt(out, place, message);
  }
  return out;
}

/** Without a prototype: names of fields come from the request. */
const plainObject = (): Record<string, unknown> => Object.create(null) as Record<string, unknown>;

function addAt(out: Record<string, unknown>, path: readonly string[], message: string): void {
  const [head = '_schema', ...rest] = path;
  if (rest.length === 0) {
    const present = out[head];
    out[head] = Array.isArray(present) ? [...(present as unknown[]), message] : [message];
    return;
  }
  const inner = (
    typeof out[head] === 'object' && !Array.isArray(out[head]) ? out[head] : plainObject()
  ) as Record<string, unknown>;
  out[head] = inner;
  addAt(inner, rest, message);
}
