import { type ErrorCode, V6Error } from '../../core/errors.ts';

/** What dockerode throws: `statusCode` and `json.message` from the engine, `code` from the socket. */
interface EngineFailure {
  readonly statusCode?: number;
  readonly code?: string;
  readonly message?: string;
  readonly json?: { readonly message?: string } | null;
  /** Of the socket: a path, or a host with a port. */
  readonly address?: string;
  readonly port?: number;
}

const START_HINT =
  'Start it (`systemctl start docker`), or install it: `apt-get install docker.io` on Debian and Ubuntu.';

const SOCKET: Readonly<Record<string, readonly [ErrorCode, string, readonly string[]]>> = {
  ENOENT: ['V6_ENGINE_MISSING', 'No container engine answers', [START_HINT]],
  ECONNREFUSED: ['V6_ENGINE_MISSING', 'No container engine answers', [START_HINT]],
  ENOTFOUND: [
    'V6_ENGINE_MISSING',
    'The host of the container engine is not known',
    ['Check DOCKER_HOST and `docker context ls`.'],
  ],
  ECONNRESET: ['V6_ENGINE_MISSING', 'The container engine went away', [START_HINT]],
  ERR_STREAM_PREMATURE_CLOSE: ['V6_ENGINE_MISSING', 'The container engine went away', [START_HINT]],
  EPIPE: ['V6_ENGINE_MISSING', 'The container engine went away', [START_HINT]],
  EACCES: [
    'V6_ENGINE_PERMISSION',
    'The socket of the container engine refused us',
    [
      'Run the command as root, or add your user to the group: `sudo usermod -aG docker $USER`, then log in again.',
    ],
  ],
};
const PERMISSION_ALIASES = new Set(['EACCES', 'EPERM']);

/** What only the engine's sentence tells apart: it answers 403 and 500 for many things (moby daemon/, libnetwork/). */
const SENTENCES: readonly (readonly [RegExp, ErrorCode, readonly string[]])[] = [
  [
    /overlaps with other one|overlap(s|ping)? /i,
    'V6_NET_OVERLAP',
    ['Choose another subnet: `docker network ls` and `ip route` show what is taken.'],
  ],
  [
    /port is already allocated|listen (tcp|udp).*address already in use|bind: address already in use/i,
    'V6_NET_PORT_IN_USE',
    ['Choose another port, or stop what listens there: `ss -lntup`.'],
  ],
  [
    /device information.*\/dev\/net\/tun|\/dev\/net\/tun.*no such file/i,
    'V6_NET_TUN_MISSING',
    ['Load the module: `modprobe tun`.'],
  ],
  [
    /no such image|pull access denied|manifest (for .* )?(unknown|not found)|repository does not exist/i,
    'V6_IMAGE_NOT_FOUND',
    ['Check the name and the tag; `docker images` shows what is here.'],
  ],
  [
    /conflicts with network|already exists|address already in use|same bridge name/i,
    'V6_ENGINE_CONFLICT',
    ['`docker ps -a` and `docker network ls` show what holds the name or the address.'],
  ],
];

/** True for an answer of the engine with this HTTP status. */
export function hasStatus(error: unknown, ...statuses: number[]): boolean {
  const { statusCode } = (error ?? {}) as EngineFailure;
  return statusCode !== undefined && statuses.includes(statusCode);
}

/** The engine's own sentence, without dockerode's prefix. */
export function reasonOf(error: unknown): string {
  const failure = (error ?? {}) as EngineFailure;
  const text = failure.json?.message ?? failure.message ?? String(error);
  return text.replace(/^\(HTTP code \d+\) [^-]* - /, '').trim();
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError');
}

function placeOf({ address, port }: EngineFailure): string {
  if (address === undefined) return '';
  return port === undefined ? ` at ${address}` : ` at ${address}:${port}`;
}

/**
 * A failure of the engine in our words. `action` completes "Could not …", with the value in question.
 * An abort keeps its own identity: it is the caller's doing.
 */
export function translateEngineError(error: unknown, action: string): unknown {
  if (error instanceof V6Error || isAbort(error)) return error;
  const failure = (error ?? {}) as EngineFailure;
  const code = PERMISSION_ALIASES.has(failure.code ?? '') ? 'EACCES' : failure.code;
  const socket = failure.statusCode === undefined ? SOCKET[code ?? ''] : undefined;
  if (socket) {
    const [entry, sentence, hints] = socket;
    return new V6Error(entry, `${sentence}${placeOf(failure)}: could not ${action}`, {
      hints,
      details: { reason: reasonOf(error) },
      cause: error,
    });
  }
  const reason = reasonOf(error);
  const sentence = SENTENCES.find(([pattern]) => pattern.test(reason));
  const entry: ErrorCode =
    sentence?.[1] ?? (hasStatus(error, 409) ? 'V6_ENGINE_CONFLICT' : 'V6_ENGINE_REQUEST');
  return new V6Error(entry, `Could not ${action}: ${reason}`, {
    hints: sentence?.[2] ?? ['`docker info` and the log of the engine tell more.'],
    details: { reason, ...(failure.statusCode ? { status: failure.statusCode } : {}) },
    cause: error,
  });
}

/** Limit of one short request to the engine, ms: a start with sixty networks took 12 s. */
const REQUEST_LIMIT_MS = 120_000;

/** Runs one request; its failure is translated, and an engine that does not answer becomes V6_ENGINE_TIMEOUT. */
export async function request<T>(action: string, run: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(
        new V6Error(
          'V6_ENGINE_TIMEOUT',
          `The container engine did not answer within ${REQUEST_LIMIT_MS / 1000} s: could not ${action}`,
          { hints: ['`docker ps` shows whether it still answers; its log tells why it does not.'] },
        ),
      );
    }, REQUEST_LIMIT_MS);
  });
  try {
    return await Promise.race([run(), limit]);
  } catch (error) {
    throw translateEngineError(error, action);
  } finally {
    clearTimeout(timer);
  }
}

/** Like {@link request}, without a limit: pulls, builds and waits take what they take. */
export async function longRequest<T>(action: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw translateEngineError(error, action);
  }
}
