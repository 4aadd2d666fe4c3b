import fc from 'fast-check';
import type { FuzzOperation, FuzzParameter } from './operations.ts';
import { bodies, fitting, NASTY_TEXTS, nasty } from './values.ts';

/** A request as the fuzzer makes it up; `who` is looked up in the tokens of the server under test. */
export interface FuzzRequest {
  readonly method: string;
  readonly url: string;
  readonly who: string;
  readonly headers: Readonly<Record<string, string>>;
  /** As it is sent. */
  readonly payload: string | undefined;
}

const RAW_BODIES = [
  '',
  ' ',
  '{',
  '{"a":',
  'null',
  '"text"',
  '[]',
  '0',
  'undefined',
  '\u0000',
  '\ufeff{}',
  '{"name":"a","name":{"b":1}}',
  '{"__proto__":{"x":1}}',
  '{"a":"\\ud800"}',
  '{"a":1e999}',
  '['.repeat(20_000),
  `${'['.repeat(20_000)}${']'.repeat(20_000)}`,
  `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`,
  '<xml/>',
  'name=North&encrypted=1',
];

const ODD_HEADERS: readonly Readonly<Record<string, string>>[] = [
  { 'content-type': 'text/plain' },
  { 'content-type': 'application/x-www-form-urlencoded' },
  { 'content-type': 'multipart/form-data; boundary=x' },
  { 'content-type': 'application/json; charset=utf-16' },
  { 'content-type': 'application/json;;;=' },
  { 'content-type': '\u00e9' },
  { 'content-type': '' },
  { 'content-encoding': 'gzip' },
  { 'content-encoding': 'br, gzip, gzip' },
  { 'x-http-method-override': 'DELETE', 'x-method-override': 'DELETE' },
  { 'x-forwarded-for': `${'1.2.3.4, '.repeat(200)}x`, 'x-forwarded-proto': 'gopher' },
  { 'x-forwarded-host': '\'"><script>', host: 'evil.example:99999' },
  { accept: 'text/html', 'accept-encoding': 'gzip', 'if-none-match': '*' },
  { range: 'bytes=0-1,5-', connection: 'upgrade', upgrade: 'h2c' },
  { 'content-length': '3' },
  { 'content-length': '-1' },
  { 'transfer-encoding': 'chunked' },
  { origin: 'null', 'access-control-request-method': 'DELETE' },
  { cookie: 'access_token=x; '.repeat(50) },
];

/** Requests for one operation, by these identities. */
export function requestsFor(
  operation: FuzzOperation,
  identities: readonly string[],
): fc.Arbitrary<FuzzRequest> {
  const places = operation.parameters.filter((one) => one.in === 'path');
  const queries = operation.parameters.filter((one) => one.in === 'query');
  return fc
    .record({
      who: fc.constantFrom(...identities),
      method: fc.oneof(
        { weight: 30, arbitrary: fc.constant(operation.method) },
        { weight: 1, arbitrary: fc.constantFrom('PUT', 'HEAD', 'OPTIONS', 'TRACE', 'PATCH') },
      ),
      path: pathOf(operation.path, places),
      query: queryOf(queries),
      headers: fc.oneof(
        { weight: 8, arbitrary: fc.constant({}) },
        { weight: 1, arbitrary: fc.constantFrom(...ODD_HEADERS) },
      ),
      payload: payloadOf(operation),
    })
    .map(({ who, method, path, query, headers, payload }) => ({
      who,
      method,
      url: `/api${path}${query === '' ? '' : `?${query}`}`,
      headers: {
        ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      payload: method === 'TRACE' || method === 'HEAD' ? undefined : payload,
    }));
}

const NASTY_PLACES = [
  '0',
  '-1',
  '01',
  '1e99',
  '..',
  '.',
  '%00',
  '%',
  '%zz',
  '%e9',
  '%2e%2e%2f',
  '1%2f2',
  ';',
  '~',
  '*',
  'null',
  '2147483648',
  '9'.repeat(120),
];

function pathOf(template: string, places: readonly FuzzParameter[]): fc.Arbitrary<string> {
  if (places.length === 0) {
    return fc.oneof(
      { weight: 20, arbitrary: fc.constant(template) },
      {
        weight: 1,
        arbitrary: fc.constantFrom('/', '//', '/%', '/..', '%2f').map((end) => template + end),
      },
    );
  }
  const value = fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 1, max: 12 }).map(String) },
    { weight: 2, arbitrary: fc.constantFrom(...NASTY_PLACES) },
    { weight: 1, arbitrary: fc.constantFrom(...NASTY_TEXTS).map(encoded) },
  );
  return fc
    .tuple(...places.map(() => value))
    .map((values) =>
      places.reduce(
        (text, { name }, index) => text.replace(`{${name}}`, () => values[index] ?? ''),
        template,
      ),
    );
}

function queryOf(parameters: readonly FuzzParameter[]): fc.Arbitrary<string> {
  const pairs = parameters.map((parameter) =>
    fc.oneof(
      {
        weight: parameter.required === true ? 1 : 12,
        arbitrary: fc.constant([] as string[]),
      },
      {
        weight: 4,
        arbitrary: fitting(parameter.schema, parameter.name).map((one) =>
          pair(parameter.name, one),
        ),
      },
      { weight: 1, arbitrary: nasty.map((one) => pair(parameter.name, one)) },
      {
        weight: 1,
        arbitrary: fc
          .tuple(fitting(parameter.schema, parameter.name), nasty)
          .map(([one, other]) => [...pair(parameter.name, one), ...pair(parameter.name, other)]),
      },
    ),
  );
  const extra = fc.oneof(
    { weight: 12, arbitrary: fc.constant([] as string[]) },
    {
      weight: 1,
      arbitrary: fc
        .constantFrom(
          '__proto__=1',
          'a[b]=1',
          'id[]=1',
          '=',
          '&&',
          '%',
          'x=%zz',
          'constructor.prototype=1',
          'colour=red',
          `a=${'b'.repeat(3000)}`,
        )
        .map((one) => [one]),
    },
  );
  return fc.tuple(...pairs, extra).map((parts) => parts.flat().join('&'));
}

const pair = (name: string, value: unknown): string[] => [
  `${name}=${encoded(typeof value === 'string' ? value : (JSON.stringify(value) ?? '')).slice(0, 4000)}`,
];

/** A lone surrogate cannot be percent-encoded; what a careless client sends instead can. */
const encoded = (text: string): string => encodeURIComponent(text.toWellFormed());

function payloadOf(operation: FuzzOperation): fc.Arbitrary<string | undefined> {
  const raw = fc.constantFrom(...RAW_BODIES);
  if (operation.body === undefined)
    return fc.oneof(
      { weight: 8, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: raw },
    );
  return fc.oneof(
    { weight: 24, arbitrary: bodies(operation.body).map((body) => JSON.stringify(body)) },
    { weight: 2, arbitrary: raw },
    { weight: 1, arbitrary: fc.constant(undefined) },
  );
}
