import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { pipeline } from 'node:stream/promises';
import { V6Error } from '../../core/errors.ts';
import type {
  ProxyUpstream,
  UpstreamAnswer,
  UpstreamRequest,
} from '../../node/interfaces/proxy-upstream.ts';

/** Without a byte in either direction for this long, the exchange is given up. */
const IDLE_MS = 120_000;
/** A body of unknown length is collected, because servers behind uWSGI read no chunked ones. */
const COLLECT_MAX_BYTES = 64 * 1024 * 1024;

/** Passes requests of algorithms on to the API at `baseUrl` (with api path), streaming both bodies. */
export function createProxyUpstream(baseUrl: string): ProxyUpstream {
  return {
    async forward(request): Promise<UpstreamAnswer> {
      const { body, length } = await sized(request);
      const url = new URL(`${baseUrl}${request.path}`);
      const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
      const outgoing = send(url, {
        method: request.method,
        signal: request.signal,
        timeout: IDLE_MS,
        headers: {
          accept: 'application/json',
          ...(request.authorization === undefined ? {} : { authorization: request.authorization }),
          ...(request.contentType === undefined ? {} : { 'content-type': request.contentType }),
          ...(body === undefined ? {} : { 'content-length': String(length) }),
        },
      });
      outgoing.once('timeout', () => outgoing.destroy(new Error(`no byte within ${IDLE_MS} ms`)));
      const answer = await exchange(outgoing, body, url.origin);
      return {
        status: answer.statusCode ?? 502,
        contentType: answer.headers['content-type'] ?? 'application/json',
        body: answer,
      };
    },
  };
}

async function exchange(
  outgoing: ClientRequest,
  body: AsyncIterable<Uint8Array> | undefined,
  origin: string,
): Promise<IncomingMessage> {
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    outgoing.once('response', resolve);
    outgoing.once('error', reject);
  });
  try {
    if (body === undefined) outgoing.end();
    // An answer may come before the body was read to its end (a refusal): then the answer counts.
    else pipeline(body, outgoing).catch((error: unknown) => outgoing.destroy(error as Error));
    return await answered;
  } catch (error) {
    if (error instanceof V6Error) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new V6Error(
      'V6_SERVER_UNREACHABLE',
      `No answer from the coordination server at ${origin}: ${reason}`,
      { cause: error, details: { url: origin } },
    );
  }
}

async function sized(
  request: UpstreamRequest,
): Promise<{ body: AsyncIterable<Uint8Array> | undefined; length: number }> {
  if (request.body === undefined) return { body: undefined, length: 0 };
  if (request.contentLength !== undefined)
    return { body: request.body, length: request.contentLength };
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body) {
    length += chunk.byteLength;
    if (length > COLLECT_MAX_BYTES) {
      throw new V6Error(
        'V6_REQUEST_INVALID',
        'The body is too large to be sent without its length',
        {
          hints: ['Send a content-length header.'],
          details: { limitBytes: COLLECT_MAX_BYTES },
        },
      );
    }
    chunks.push(chunk);
  }
  async function* all(): AsyncIterable<Uint8Array> {
    yield* chunks;
  }
  return { body: all(), length };
}
