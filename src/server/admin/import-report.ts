/** One thing of the file. */
export interface ImportItem {
  readonly kind:
    | 'organization'
    | 'role'
    | 'user'
    | 'collaboration'
    | 'participant'
    | 'node'
    | 'task';
  readonly name: string;
  readonly state: 'created' | 'updated' | 'unchanged';
  /** Names of fields that changed; never values. */
  readonly changes: readonly string[];
}

/** What `--drop-all` removed, counted. */
export interface Dropped {
  readonly organizations: number;
  readonly users: number;
  readonly collaborations: number;
  readonly nodes: number;
  readonly tasks: number;
}

/** Result of `v6 server import`; with --json the document itself (schemas/server-import.json). */
export interface ImportReport {
  readonly file: string;
  /** True: nothing was written, this is what would be. */
  readonly dryRun: boolean;
  readonly dropped: Dropped | null;
  readonly created: number;
  readonly updated: number;
  readonly unchanged: number;
  readonly items: readonly ImportItem[];
  readonly warnings: readonly string[];
  /** 0600; holds what was generated: API keys of nodes, passwords of users. Null when nothing was. */
  readonly secretsFile: string | null;
}

export function countStates(items: readonly ImportItem[]) {
  const count = (state: ImportItem['state']): number =>
    items.filter((item) => item.state === state).length;
  return { created: count('created'), updated: count('updated'), unchanged: count('unchanged') };
}
