import type { PageRequest, Rows } from '../interfaces/paging.ts';

/** As much as a store gives at once; enough where there cannot be more. */
export const LARGEST_PAGE: PageRequest = { offset: 0, limit: 1000, sort: [] };

/** All rows of a list, page by page. */
export async function listAll<T>(
  list: (page: PageRequest) => Promise<Pick<Rows<T>, 'rows'>>,
): Promise<readonly T[]> {
  const all: T[] = [];
  for (;;) {
    const { rows } = await list({ ...LARGEST_PAGE, offset: all.length });
    all.push(...rows);
    if (rows.length < LARGEST_PAGE.limit) return all;
  }
}
