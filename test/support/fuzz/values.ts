import fc from 'fast-check';
import { IMAGE, INPUT, PASSWORD } from '../server-app.ts';
import type { Schema } from './operations.ts';

const PEM = '-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n';

/** Values that mean something, for fields whose schema does not tell what would be good. */
const GOOD: Readonly<Record<string, readonly unknown[]>> = {
  image: [IMAGE],
  input: [INPUT, 'AA==$AA==$AA=='],
  result: [INPUT, ''],
  username: ['nora', 'root', ...Array.from({ length: 30 }, (_, index) => `frieda${index}`)],
  password: [PASSWORD, 'Another-pass-2'],
  current_password: [PASSWORD],
  new_password: ['Another-pass-2'],
  email: ['a@example.org'],
  public_key: [Buffer.from(PEM).toString('base64'), ''],
  api_key: ['7b1ad0b3-5f5e-4a6c-9a57-3b2f6f0d4c11'],
  name: ['North', '%o%', ...Array.from({ length: 30 }, (_, index) => `fresh ${index}`)],
  organization_id: [1, 2, 3, 4],
  organization_ids: [[2, 3], [4]],
  collaboration_id: [1, 2],
  task_id: [1, 2],
  run_id: [1, 2, 3],
  id: [1, 2, 3, 4],
  started_at: ['2026-05-04T09:12:33.104512+00:00'],
  finished_at: ['2026-05-04T09:12:33Z', '2026-05-04T09:12:33'],
  sort: ['id', '-id', 'name,-id', '+id'],
  include: ['task', 'runs,results', 'organizations'],
  ip: ['10.76.0.5'],
  vpn_config: ['client\n'],
};

/** Text that breaks programs. */
export const NASTY_TEXTS: readonly string[] = [
  '',
  ' ',
  '\0',
  'a\0b',
  '\ud800',
  'x\udfff',
  '\u202eabc\u0007',
  '\r\nset-cookie: a=b',
  'x'.repeat(300),
  'é'.repeat(2000),
  '𝕊',
  '0',
  '-1',
  '1e99',
  '1.5',
  '0x10',
  '٣',
  '9'.repeat(15),
  '9'.repeat(40),
  '2147483648',
  'NaN',
  'null',
  'undefined',
  'true',
  '__proto__',
  'constructor',
  'toString',
  '../../etc/passwd',
  '%00',
  '%',
  '%_%',
  "' OR 1=1 --",
  '${7*7}{{7*7}}',
  '$$$',
  '====',
  'AA==$AA==',
  '-----BEGIN PUBLIC KEY-----',
  '0000-00-00T00:00:00Z',
  '9999-99-99T99:99:99+99:99',
  '2026-05-04T09:12:33.1234567890Z',
];

const deep = (levels: number): unknown => {
  let value: unknown = 1;
  for (let level = 0; level < levels; level += 1) value = level % 2 === 0 ? [value] : { a: value };
  return value;
};

const NASTY_VALUES: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -0,
  -1,
  1.5,
  1e99,
  -1e99,
  2 ** 31,
  2 ** 53,
  2 ** 64,
  [],
  {},
  [null],
  [[]],
  [{}],
  { id: 1 },
  { toString: 1, valueOf: null },
  JSON.parse('{"__proto__": {"a": 1}, "constructor": {"prototype": 1}}'),
  deep(40),
  deep(3000),
  Array.from({ length: 1500 }, (_, index) => index + 1),
];

/** Anything that JSON can hold, and text that it should not. */
export const nasty: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...NASTY_VALUES) },
  { weight: 4, arbitrary: fc.constantFrom(...NASTY_TEXTS) },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }) },
  { weight: 1, arbitrary: fc.double() },
  { weight: 1, arbitrary: fc.integer() },
);

/** Something that fits the schema, or nearly so. */
export function fitting(schema: Schema, name = ''): fc.Arbitrary<unknown> {
  const good = Object.hasOwn(GOOD, name) ? GOOD[name] : undefined;
  if (good !== undefined && schema.enum === undefined) return fc.constantFrom(...good);
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map((one) => fitting(one, name)));
  if (schema.type === 'integer' || schema.type === 'number') return numbers(schema);
  if (schema.type === 'boolean') return fc.boolean();
  if (schema.type === 'null') return fc.constant(null);
  if (schema.type === 'array')
    return fc.array(fitting(schema.items ?? {}), { minLength: schema.minItems ?? 0, maxLength: 3 });
  if (schema.type === 'object') return objects(schema, fitting);
  return fc.string({
    minLength: schema.minLength ?? 0,
    maxLength: Math.min(schema.maxLength ?? 20, 20),
  });
}

/** Small ids exist on the server under test. */
const numbers = ({ minimum = 0, maximum = 100 }: Schema): fc.Arbitrary<number> =>
  fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: minimum, max: Math.min(maximum, minimum + 11) }) },
    { weight: 1, arbitrary: fc.constantFrom(minimum, maximum) },
  );

function objects(
  schema: Schema,
  field: (inner: Schema, name: string) => fc.Arbitrary<unknown>,
): fc.Arbitrary<unknown> {
  const { properties = {}, required = [] } = schema;
  const made = Object.entries(properties).map(
    ([name, inner]) => [name, field(inner, name)] as const,
  );
  if (made.length === 0) return fc.dictionary(fc.string({ maxLength: 8 }), fc.jsonValue());
  return fc.record(Object.fromEntries(made), { requiredKeys: [...required] });
}

/** A body that fits, with fields replaced, dropped and added. */
export function bodies(schema: Schema): fc.Arbitrary<unknown> {
  const spoiled = (inner: Schema, name: string): fc.Arbitrary<unknown> =>
    fc.oneof(
      { weight: 5, arbitrary: fitting(inner, name) },
      { weight: 1, arbitrary: nasty },
      ...(inner.type === 'array' && inner.items !== undefined
        ? [{ weight: 1, arbitrary: fc.array(bodies(inner.items), { maxLength: 3 }) }]
        : []),
    );
  if (schema.type !== 'object') return fc.oneof(fitting(schema), nasty);
  return fc.oneof(
    { weight: 10, arbitrary: fitting(schema) },
    { weight: 8, arbitrary: objects({ ...schema, required: [] }, spoiled) },
    {
      weight: 2,
      arbitrary: fc
        .tuple(fitting(schema), fc.constantFrom(...NASTY_TEXTS), nasty)
        .map(([body, key, value]) => ({ ...(body as object), [key]: value })),
    },
    { weight: 1, arbitrary: nasty },
  );
}
