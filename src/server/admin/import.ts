import type { Clock } from '../../core/clock.ts';
import { V6Error } from '../../core/errors.ts';
import type { Store } from '../interfaces/store.ts';
import { markOutsideChange } from '../services/outside-changes.ts';
import { applyImport } from './apply-import.ts';
import { checkAgainstStore, type ImportProblem } from './check-import.ts';
import { dropAll as dropEverything } from './drop-all.ts';
import { type ImportDocument, parseImportFile, refuseProblems } from './import-file.ts';
import { countStates, type Dropped, type ImportItem, type ImportReport } from './import-report.ts';
import { type PreparedSecrets, prepareSecrets } from './prepare-import.ts';
import { renderSecrets } from './secrets-file.ts';

export interface ImportDeps {
  readonly store: Store;
  readonly apiKeyDigestKey: Buffer;
  readonly clock: Pick<Clock, 'now'>;
  readonly secrets: {
    /** Writes a file of its own, 0600, and gives its path. Throws V6_CONFIG_WRITE. */
    write(text: string): Promise<string>;
    remove(file: string): Promise<void>;
    /** First line of a file that `password_file` names. Throws V6_IMPORT_INVALID. */
    read(file: string): Promise<string>;
  };
}

export interface ImportInput {
  /** For messages. */
  readonly file: string;
  readonly text: string;
  /** Everything that is there goes first. */
  readonly dropAll: boolean;
  /** `allow_drop_all` of the configuration. */
  readonly mayDropAll: boolean;
  readonly resetPasswords: boolean;
  readonly dryRun: boolean;
}

/** Ends a transaction without a trace; a dry run is a real one up to here. */
class DryRunEnds extends Error {}

interface Applied {
  readonly dropped: Dropped | null;
  readonly items: readonly ImportItem[];
}

/**
 * Imports a file of entities: all of it or nothing, in one transaction, and repeating it changes nothing. Throws
 * V6_CONFIG_SYNTAX, V6_IMPORT_INVALID (every problem with its line), V6_IMPORT_NOT_ALLOWED, V6_CONFIG_WRITE, V6_DATABASE,
 * V6_REQUEST_CONFLICT.
 */
export async function importEntities(deps: ImportDeps, input: ImportInput): Promise<ImportReport> {
  if (input.dropAll && !input.mayDropAll) throw notAllowed();
  const document = parseImportFile(input.text, input.file);
  const secrets = await prepare(deps, input, document);
  const text = renderSecrets(document, secrets);
  // Before the database: keys that nobody can read would lock nodes out.
  const secretsFile = text === undefined || input.dryRun ? null : await deps.secrets.write(text);
  try {
    const { dropped, items } = await apply(deps, input, { document, secrets });
    const warnings = warningsOf(document, items, input);
    const { file, dryRun } = input;
    return { file, dryRun, dropped, ...countStates(items), items, warnings, secretsFile };
  } catch (error) {
    if (secretsFile !== null) await deps.secrets.remove(secretsFile);
    throw error;
  }
}

async function prepare(
  deps: ImportDeps,
  { file, dropAll, resetPasswords }: ImportInput,
  document: ImportDocument,
): Promise<PreparedSecrets> {
  const { store, apiKeyDigestKey } = deps;
  const found: ImportProblem[] = [
    ...(await checkAgainstStore(store, { document, apiKeyDigestKey, dropAll })),
  ];
  refuseProblems(file, found);
  const secrets = await prepareSecrets(store, {
    document,
    resetPasswords,
    dropAll,
    readPasswordFile: (path) => deps.secrets.read(path),
    onProblem: (problem) => found.push(problem),
  });
  refuseProblems(file, found);
  return secrets;
}

async function apply(
  { store, apiKeyDigestKey, clock }: ImportDeps,
  { dropAll, dryRun }: ImportInput,
  prepared: { readonly document: ImportDocument; readonly secrets: PreparedSecrets },
): Promise<Applied> {
  let applied: Applied | undefined;
  const now = clock.now();
  try {
    await store.transaction(async (tx) => {
      await markOutsideChange(tx.meta);
      const dropped = dropAll ? await dropEverything(tx) : null;
      const items = await applyImport(tx, { ...prepared, apiKeyDigestKey, now });
      applied = { dropped, items };
      if (dryRun) throw new DryRunEnds();
    });
  } catch (error) {
    if (!(error instanceof DryRunEnds)) throw error;
  }
  if (applied === undefined) throw new TypeError('a transaction ended without its work');
  return applied;
}

function warningsOf(
  { organizations }: ImportDocument,
  items: readonly ImportItem[],
  { resetPasswords }: Pick<ImportInput, 'resetPasswords'>,
): readonly string[] {
  const users = organizations.flatMap((organization) => organization.users);
  const created = new Set(
    items
      .filter(({ kind, state }) => kind === 'user' && state === 'created')
      .map(({ name }) => name),
  );
  const plain = users.filter(({ password }) => password.kind === 'plain');
  const almighty = users.filter(
    ({ username, roles }) => roles === undefined && created.has(username),
  );
  const kept = resetPasswords ? [] : plain.filter(({ username }) => !created.has(username));
  const names = (list: typeof users): string => list.map(({ username }) => username).join(', ');
  return [
    ...(plain.length === 0
      ? []
      : [
          `The file holds passwords in plain text (${names(plain)}): give password_hash or password_file, or leave them out and get random ones.`,
        ]),
    ...(almighty.length === 0
      ? []
      : [
          `These users may do everything on this server, as upstream's import has it: ${names(almighty)}. Give them roles, for example roles: [Researcher].`,
        ]),
    ...(kept.length === 0
      ? []
      : [
          `Passwords of users who exist stay as they are: ${names(kept)}. --reset-passwords sets them.`,
        ]),
  ];
}

const notAllowed = (): V6Error =>
  new V6Error('V6_IMPORT_NOT_ALLOWED', 'The configuration does not allow to drop everything', {
    hints: [
      'Set allow_drop_all: true in the configuration of the server, and back to false afterwards.',
      'Without --drop-all the import adds and updates.',
    ],
  });
