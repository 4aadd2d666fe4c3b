export interface PageRequest {
  /** From 0. */
  readonly offset: number;
  /** 1–1000. */
  readonly limit: number;
  /** Columns as the store's lists know them (`id`, `name` …); empty: newest first for tasks and runs, else by id. */
  readonly sort: readonly { readonly column: string; readonly descending: boolean }[];
}

export interface Rows<T> {
  readonly rows: readonly T[];
  /** Without paging. */
  readonly total: number;
}

/** Matches case-insensitively with `%` and `_`, as upstream's LIKE does. */
export type Pattern = string;
