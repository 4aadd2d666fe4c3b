import { V6Error } from '../../core/errors.ts';
import { isRecord } from '../../core/protocol/json.ts';

/** What upstream's algorithms ask without a token (vantage6 4.14 v6-diagnostics, LOCAL_PROXY). */
const PUBLIC = new Set(['/version', '/health']);

/** True for the two reads that need no token. */
export function isPublicRequest(method: string, target: string): boolean {
  return method === 'GET' && PUBLIC.has(target.split('?')[0] ?? '');
}

/**
 * Path and query as they go below the server's api path. Throws V6_REQUEST_INVALID for what could lead out of it: another
 * host, dot segments, encoded or backward slashes.
 */
export function upstreamPath(url: string): string {
  const [pathname = ''] = url.split('?');
  const isPlain =
    url.startsWith('/') &&
    !url.startsWith('//') &&
    !/[\\\s#]|%2f|%5c|%2e/i.test(pathname) &&
    !pathname.split('/').some((part) => part === '.' || part === '..');
  if (!isPlain) throw new V6Error('V6_REQUEST_INVALID', `Not a path of the API: ${pathname}`);
  return url;
}

/** `sub.task_id` of a container's token, read without verifying it; undefined when there is none. */
export function tokenTaskOf(token: string): number | undefined {
  try {
    const claims: unknown = JSON.parse(
      Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'),
    );
    const sub = isRecord(claims) ? claims.sub : undefined;
    const task = isRecord(sub) ? sub.task_id : undefined;
    return typeof task === 'number' ? task : undefined;
  } catch {
    return undefined;
  }
}
