import { decodeBase64 } from '../../core/crypto/message.ts';
import { V6Error } from '../../core/errors.ts';
import { isRecord, type Unknowns } from '../../core/protocol/json.ts';
import type { Payloads } from '../encryption/payloads.ts';

/**
 * What the proxy does to a request in an encrypted collaboration. Everything else passes as it is: the inputs in runs are for
 * the organizations that execute them, and upstream's proxy passes them on encrypted as well (vantage6 4.15 node,
 * proxy_server.py).
 *
 * `task`: the body is encrypted on its way out. `results`: the answer is decrypted on its way in. `blob`: refused.
 */
export type BodyWork = 'task' | 'results' | 'blob' | 'none';

/** `target` is path and query below the api path. */
export function bodyWorkOf(method: string, target: string): BodyWork {
  const { pathname, searchParams } = new URL(target, 'http://proxy');
  const path = pathname.replace(/\/+$/, '');
  if (/^\/blobstream(\/|$)/.test(path)) return path === '/blobstream/status' ? 'none' : 'blob';
  if (method === 'POST' && path === '/task') return 'task';
  if (method !== 'GET') return 'none';
  if (/^\/result(\/\d+)?$/.test(path) || /^\/task\/\d+\/result$/.test(path)) return 'results';
  const includes = searchParams.getAll('include').flatMap((value) => value.split(','));
  return /^\/task(\/\d+)?$/.test(path) && includes.includes('results') ? 'results' : 'none';
}

/**
 * The body of `POST /task` with each input encrypted for its organization. Throws V6_REQUEST_INVALID for a body that is none,
 * V6_ENCRYPTION_KEY_* and V6_SERVER_* when a key cannot be had: then nothing is sent.
 */
export async function encryptTask(
  body: Uint8Array,
  payloads: Payloads,
  signal: AbortSignal,
): Promise<Buffer> {
  const task = parseBody(body);
  const { organizations } = task;
  if (!Array.isArray(organizations) || !organizations.every(isRecord))
    throw invalid('`organizations` is not a list of {id, input}');
  const encrypted = await Promise.all(
    organizations.map(async (target) => ({
      ...target,
      input: await encryptInput(target, payloads, signal),
    })),
  );
  return Buffer.from(JSON.stringify({ ...task, organizations: encrypted }));
}

async function encryptInput(
  { id, input }: Unknowns,
  payloads: Payloads,
  signal: AbortSignal,
): Promise<string> {
  if (typeof id !== 'number' || !Number.isSafeInteger(id))
    throw invalid('the `id` of an organization is not a number');
  const payload = typeof input === 'string' ? decodeBase64(input) : undefined;
  if (payload === undefined)
    throw invalid(`the input for organization ${id} is not base64 of a plain input`);
  return payloads.seal(payload, id, signal);
}

/**
 * An answer with results, each decrypted and base64 of its payload again. Throws V6_ENCRYPTION_UNREADABLE when one of them
 * cannot be opened: a text that is not the result never looks as if it were.
 */
export function decryptResults(body: Uint8Array, payloads: Payloads): Buffer {
  let answer: unknown;
  try {
    answer = JSON.parse(Buffer.from(body).toString('utf8'));
  } catch (error) {
    throw new V6Error('V6_SERVER_ANSWER', 'The server answered with something that is not JSON', {
      cause: error,
    });
  }
  return Buffer.from(JSON.stringify(withOpenResults(answer, payloads)));
}

/** Results stand alone, in `data`, in a bare list (3.x), or in the `results` of tasks. */
function withOpenResults(value: unknown, payloads: Payloads): unknown {
  if (Array.isArray(value)) return value.map((item) => withOpenResults(item, payloads));
  if (!isRecord(value)) return value;
  const { result, data, results, blob_storage_used: isBlob } = value;
  return {
    ...value,
    ...(typeof result === 'string' && result !== '' && isBlob !== true
      ? { result: openResult(result, value.id, payloads) }
      : {}),
    ...(Array.isArray(data) ? { data: withOpenResults(data, payloads) } : {}),
    ...(Array.isArray(results) ? { results: withOpenResults(results, payloads) } : {}),
  };
}

function openResult(text: string, id: unknown, payloads: Payloads): string {
  const what = typeof id === 'number' ? `the result of run ${id}` : 'a result';
  return Buffer.from(payloads.open(text, what)).toString('base64');
}

function parseBody(body: Uint8Array): Unknowns {
  try {
    const value: unknown = JSON.parse(Buffer.from(body).toString('utf8'));
    if (isRecord(value)) return value;
  } catch {
    // Said below.
  }
  throw invalid('it is not a JSON object');
}

function invalid(fault: string): V6Error {
  return new V6Error('V6_REQUEST_INVALID', `The node cannot encrypt this task: ${fault}`);
}
