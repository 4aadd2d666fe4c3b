import { z } from 'zod';
import { isIpv4 } from '../../core/net/ipv4.ts';

/** Parsers of single fields in bodies and queries, shared by all routes. */

/** Whole numbers come as numbers or as digits: Python's schemas accept both, and queries know text only. */
const digits = (value: unknown): unknown =>
  typeof value === 'string' && /^-?\d{1,15}$/.test(value) ? Number(value) : value;

export const integer = (from: number, to = Number.MAX_SAFE_INTEGER) =>
  z.preprocess(digits, z.int().min(from).max(to));

/** Ids are 32-bit integers in PostgreSQL. */
const MAX_ID = 2_147_483_647;

export const id = integer(1, MAX_ID);

export const params = z.object({ id });

/** RFC 3339 with any fraction; without a zone it is UTC, as upstream's clients send it. */
export const date = z
  .string()
  .regex(
    /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?$/i,
    'Not a date and time of RFC 3339',
  )
  .transform((text, context) => {
    const zoned = /(Z|[+-]\d\d:?\d\d)$/i.test(text) ? text : `${text}Z`;
    const at = new Date(zoned.replace(' ', 'T').replace(/([+-]\d\d)(\d\d)$/, '$1:$2'));
    if (!Number.isNaN(at.getTime())) return at;
    context.addIssue({ code: 'custom', message: 'No such date' });
    return z.NEVER;
  });

/** A date with or without time, as filters take it; a bare date is its first moment in UTC. */
export const moment = z.preprocess(
  (value) =>
    typeof value === 'string' && /^\d{4}-\d\d-\d\d$/.test(value) ? `${value}T00:00:00` : value,
  date,
);

/** `1`, `true`, `yes` and their opposites, in queries. */
export const flag = z.preprocess((value) => {
  if (typeof value !== 'string') return value;
  if (/^(1|true|yes|on)$/i.test(value)) return true;
  return /^(0|false|no|off|)$/i.test(value) ? false : value;
}, z.boolean());

export const ipv4 = z.string().refine(isIpv4, 'Not an IPv4 address');

/** Upstream refuses names that are only digits: they would be taken for ids. */
export const name = z
  .string()
  .min(1)
  .max(128)
  .refine((text) => !/^\d+$/.test(text), 'Must not be a number');

export const shortText = z.string().max(128);

export const pattern = z.string().max(256);

/** A list parameter: repeated, or with commas. */
export const list = <T extends z.ZodType>(item: T) =>
  z.preprocess(
    (value) =>
      (Array.isArray(value) ? value : [value])
        .flatMap((part: unknown) => (typeof part === 'string' ? part.split(',') : [part]))
        .filter((part) => part !== ''),
    z.array(item).max(1000),
  );

/** A query parameter that a proxy may have sent twice: the first one counts. */
export const once = <T extends z.ZodType>(item: T) =>
  z.preprocess((value) => (Array.isArray(value) ? (value as unknown[])[0] : value), item);

/** The parameters that every list has. */
export const paging = {
  page: once(integer(1, 1_000_000)).default(1),
  per_page: once(integer(1, 1000)).default(10),
  sort: once(z.string().max(200)).optional(),
};

/** The query of a list: paging and its own filters; anything else is refused, since an ignored filter would answer another question. */
export function listQuery<T extends z.ZodRawShape>(filters: T) {
  return z.strictObject({ ...paging, ...filters });
}
