import { type Expression, type Kysely, type SelectQueryBuilder, type SqlBool, sql } from 'kysely';
import { V6Error } from '../../core/errors.ts';
import type { PageRequest, Pattern, Rows } from '../../server/interfaces/store.ts';
import { isSqlite } from './migrations/tables.ts';
import type { Schema } from './schema.ts';

/** Names that callers may sort by, each with its column. */
export type Sortable = Readonly<Record<string, string>>;

interface Listing {
  readonly page: PageRequest;
  readonly sortable: Sortable;
  /** Order when the caller names none, and the last criterion when it does: pages never overlap. */
  readonly id: { readonly column: string; readonly descending: boolean };
}

/** One page and the total. Throws V6_REQUEST_INVALID for a name that cannot be sorted by. */
export async function listPage<DB, TB extends keyof DB, O>(
  query: SelectQueryBuilder<DB, TB, O>,
  { page, sortable, id }: Listing,
): Promise<Rows<O>> {
  let ordered = query;
  for (const { column, descending } of page.sort) {
    const known = Object.hasOwn(sortable, column) ? sortable[column] : undefined;
    if (known === undefined) {
      throw new V6Error('V6_REQUEST_INVALID', `Cannot sort by ${JSON.stringify(column)}`, {
        details: { errors: { sort: [`One of: ${Object.keys(sortable).join(', ')}.`] } },
      });
    }
    // Said, because the two databases differ: null is the least value.
    ordered = ordered.orderBy(known as never, (order) =>
      descending ? order.desc().nullsLast() : order.asc().nullsFirst(),
    );
  }
  ordered = ordered.orderBy(id.column as never, id.descending ? 'desc' : 'asc');
  const rows = await ordered.limit(page.limit).offset(page.offset).execute();
  // The last page tells the total by itself; an empty one beyond the end does not.
  if (rows.length < page.limit && (rows.length > 0 || page.offset === 0))
    return { rows, total: page.offset + rows.length };
  const count = await query
    .clearSelect()
    .select((eb) => eb.fn.countAll<number>().as('total'))
    .executeTakeFirstOrThrow();
  return { rows, total: (count as { readonly total: number }).total };
}

/** True where `column` (with its table) matches, whatever the case of its letters. Only % and _ have a meaning: a backslash is a backslash. */
export function matches(db: Kysely<Schema>, column: string, pattern: Pattern): Expression<SqlBool> {
  return isSqlite(db)
    ? sql<SqlBool>`${sql.ref(column)} like ${pattern}`
    : sql<SqlBool>`${sql.ref(column)} ilike ${pattern} escape ''`;
}

/** A row that is about to change, held until the transaction ends. SQLite has one writer, and no words for it. */
export const locked = <T extends { forUpdate(): T }>(db: Kysely<Schema>, query: T): T =>
  isSqlite(db) ? query : query.forUpdate();

/** Empty filters match nothing; SQL has no empty list. */
export const NOTHING: readonly number[] = [-1];

export const dateOrNull = (text: string | null): Date | null =>
  text === null ? null : new Date(text);
