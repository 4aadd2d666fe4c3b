import { createHash } from 'node:crypto';
import type { PortalReplay, ReceivedRequest, RecordedExchange } from './portal-replay.ts';

/** What the comparison of our requests with recorded ones found; every line starts with the request. */
export interface RequestComparison {
  /** A rule was broken: same thing, other value. */
  readonly different: readonly string[];
  /** The recorded request has it, ours does not. */
  readonly missing: readonly string[];
  /** Ours has it, the recorded one does not. */
  readonly extra: readonly string[];
}

type Fields = Readonly<Record<string, string>>;

// Headers of the HTTP library itself; no portal looks at them.
const OF_THE_LIBRARY = [
  'host',
  'user-agent',
  'accept-encoding',
  'accept-language',
  'sec-fetch-mode',
  'connection',
  'content-length',
];

/**
 * Compares what was received with what was recorded, one to one, by these rules: `method`; `path` without query; `query` and
 * `form`: every recorded parameter with its value, a parameter that is itself an address by its own parts; `header`: Referer,
 * Authorization, Cookie, Content-Type (media type) and Accept with their values; `pkce`: challenge = S256 of the verifier.
 * `additional` are those of the exchanges that the recorded client did not make: they are listed as extra.
 */
export function compareRequests(
  replay: PortalReplay,
  exchanges: readonly RecordedExchange[],
  additional: readonly RecordedExchange[] = [],
): RequestComparison {
  const found = { different: [] as string[], missing: [] as string[], extra: [] as string[] };
  exchanges.forEach((exchange, index) => {
    const recorded = exchange.request;
    const ours = replay.requests[index];
    const name = `${recorded.method} ${new URL(recorded.path, replay.url).pathname}`;
    if (ours === undefined) {
      found.missing.push(name);
      return;
    }
    if (additional.includes(exchange)) found.extra.push(name);
    const wanted = new URL(replay.fill(recorded.path), replay.url);
    if (`${ours.method} ${ours.url.pathname}` !== name)
      found.different.push(`${name}: method, path`);
    const parts: [string, Fields, Fields][] = [
      ['query', fieldsOf(wanted.searchParams), fieldsOf(ours.url.searchParams)],
      ['form', formOf(replay, recorded.body ?? ''), fieldsOf(new URLSearchParams(ours.body))],
      ['header', headersOf(recorded.headers, replay), headersOf(ours.headers, replay)],
    ];
    for (const [rule, expected, sent] of parts)
      compareFields(`${name}: ${rule}`, expected, sent, found);
  });
  found.different.push(...pkceProblems(replay.requests));
  return found;
}

function compareFields(
  name: string,
  expected: Fields,
  sent: Fields,
  found: { different: string[]; missing: string[]; extra: string[] },
): void {
  for (const [field, value] of Object.entries(expected)) {
    const ours = sent[field];
    if (ours === undefined) found.missing.push(`${name} ${field}`);
    else if (canonical(ours) !== canonical(value)) found.different.push(`${name} ${field}`);
  }
  for (const field of Object.keys(sent))
    if (!(field in expected)) found.extra.push(`${name} ${field}`);
}

function formOf(replay: PortalReplay, body: string): Fields {
  return fieldsOf(new URLSearchParams(replay.fill(body)));
}

function fieldsOf(parameters: URLSearchParams): Fields {
  return Object.fromEntries(parameters);
}

function headersOf(headers: Fields, replay: PortalReplay): Fields {
  const named = Object.entries(headers).map(
    ([name, value]) => [name.toLowerCase(), value] as const,
  );
  return Object.fromEntries(
    named
      .filter(
        ([name, value]) =>
          !OF_THE_LIBRARY.includes(name) && !(name === 'accept' && value === '*/*'),
      )
      .map(([name, value]) => [
        name,
        name === 'content-type'
          ? (value.split(';')[0] ?? '')
          : replay.fill(withBasic(value, replay)),
      ]),
  );
}

function withBasic(value: string, replay: PortalReplay): string {
  return value.replace(
    '<BASE64 of client_id:client_secret>',
    () => replay.valueOf('<BASIC>') ?? '',
  );
}

// Two addresses are the same whatever the order of their parameters.
function canonical(value: string): string {
  if (!/^https?:\/\//.test(value) || !URL.canParse(value)) return value;
  const url = new URL(value);
  url.searchParams.sort();
  return url.href;
}

/** Broken `pkce` rules: RFC 7636 sections 4.1 (length, alphabet) and 4.2 (S256). */
function pkceProblems(requests: readonly ReceivedRequest[]): readonly string[] {
  const challenges = requests.flatMap(({ url }) => url.searchParams.get('code_challenge') ?? []);
  const verifiers = requests.flatMap(
    ({ body }) => new URLSearchParams(body).get('code_verifier') ?? [],
  );
  return verifiers.flatMap((verifier) => {
    const challenge = createHash('sha256').update(verifier).digest('base64url');
    const problems: string[] = [];
    if (!challenges.includes(challenge))
      problems.push('pkce: challenge is not S256 of the verifier');
    if (!/^[\w.~-]{43,128}$/.test(verifier)) problems.push('pkce: verifier');
    return problems;
  });
}
