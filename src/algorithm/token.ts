import { isRecord } from '../core/protocol/json.ts';

/** Who an algorithm container is, as its token says. The server checks the signature, not we. */
export interface AlgorithmIdentity {
  readonly organization: number;
  readonly collaboration: number;
  readonly task: number;
  readonly node: number;
  readonly image: string;
  readonly study: number | null;
  readonly store: number | null;
}

/** Reads the object in `sub` (vantage6 4.x, server resource/token.py). Throws when the text is no such token. */
export function readIdentity(token: string): AlgorithmIdentity {
  const payload = token.split('.')[1];
  if (payload === undefined) throw new Error('the token file holds no JWT');
  const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
  const sub = isRecord(claims) ? (claims.sub ?? claims.identity) : undefined;
  if (!isRecord(sub)) throw new Error('the token is not one of an algorithm container');
  const id = (name: string): number => {
    const value = sub[name];
    if (!Number.isInteger(value)) throw new Error(`the token has no ${name}`);
    return value as number;
  };
  const optional = (name: string): number | null =>
    sub[name] === null || sub[name] === undefined ? null : id(name);
  return {
    organization: id('organization_id'),
    collaboration: id('collaboration_id'),
    task: id('task_id'),
    node: id('node_id'),
    image: typeof sub.image === 'string' ? sub.image : '',
    study: optional('study_id'),
    store: optional('store_id'),
  };
}
