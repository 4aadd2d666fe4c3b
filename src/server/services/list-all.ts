/** Rows that a store gives at once. */
const PAGE = 1000;

/** All rows of a list, page by page. */
export async function listAll<T>(
  page: (offset: number) => Promise<{ readonly rows: readonly T[] }>,
): Promise<readonly T[]> {
  const all: T[] = [];
  for (;;) {
    const { rows } = await page(all.length);
    all.push(...rows);
    if (rows.length < PAGE) return all;
  }
}
