import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isRecord } from '../../core/protocol/json.ts';
import type { ServerProbe } from '../../server/interfaces/host.ts';

const LIMIT_MS = 3000;
const MAX_BYTES = 65_536;

/**
 * Asks a server on this very machine. Its certificate is for the name that others use, so it is not compared with the address
 * that we use; nothing secret is sent, and nothing that it says is trusted.
 */
export const serverProbe: ServerProbe = {
  health: async (url, signal) => (await get(`${url}/health`, signal))?.status,
  version: async (url, signal) => {
    const answer = await get(`${url}/version`, signal);
    const version = parse(answer?.text ?? '');
    return typeof version === 'string' ? version : undefined;
  },
};

function parse(text: string): unknown {
  try {
    const body: unknown = JSON.parse(text);
    return isRecord(body) ? body.version : undefined;
  } catch {
    return undefined;
  }
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** Undefined when there is no answer. Throws only what the signal says. */
async function get(url: string, signal: AbortSignal | undefined): Promise<Answer | undefined> {
  const limit = AbortSignal.timeout(LIMIT_MS);
  try {
    return await exchange(url, signal === undefined ? limit : AbortSignal.any([limit, signal]));
  } catch {
    signal?.throwIfAborted();
    return undefined;
  }
}

function exchange(url: string, signal: AbortSignal): Promise<Answer> {
  const options = { signal, headers: { accept: 'application/json' }, agent: false } as const;
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const send = url.startsWith('https:')
    ? () => requestHttps(url, { ...options, rejectUnauthorized: false })
    : () => requestHttp(url, options);
  const request = send();
  request.on('response', (response) => {
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > MAX_BYTES) request.destroy();
    });
    response.on('end', () => {
      resolve({ status: response.statusCode ?? 0, text });
    });
    response.on('error', reject);
  });
  request.on('error', reject);
  request.end();
  return promise;
}
