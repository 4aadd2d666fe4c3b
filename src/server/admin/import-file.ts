import { parseYaml, parseYamlAsWritten } from '../../core/config/yaml.ts';
import { yamlPlaces } from '../../core/config/yaml-places.ts';
import { parsePublicKey } from '../../core/crypto/keys.ts';
import { isV6Error, V6Error } from '../../core/errors.ts';
import { isApiKey } from '../auth/api-keys.ts';
import { checkPasswordRule, isPasswordHash } from '../auth/passwords.ts';
import type { OrganizationFields } from '../interfaces/store.ts';
import { type ImportProblems, ImportReader } from './import-reader.ts';
import { emailProblem, usernameProblem } from './user-fields.ts';

/** Entities of upstream's import file (vantage6 4.14, `v6 server import`), checked as far as the file alone tells. */
export interface ImportDocument {
  readonly organizations: readonly ImportedOrganization[];
  readonly collaborations: readonly ImportedCollaboration[];
}

export interface ImportedOrganization {
  readonly line: number;
  readonly name: string;
  /** Only what the file has: the rest of an organization that exists stays. */
  readonly fields: Partial<Omit<OrganizationFields, 'name'>>;
  readonly users: readonly ImportedUser[];
}

/** Where the password of a user comes from; `generated` when the file has none. */
export type ImportedPassword =
  | { readonly kind: 'plain'; readonly password: string }
  | { readonly kind: 'hash'; readonly hash: string }
  | { readonly kind: 'file'; readonly file: string }
  | { readonly kind: 'generated' };

export interface ImportedUser {
  readonly line: number;
  readonly username: string;
  readonly firstname: string | undefined;
  readonly lastname: string | undefined;
  readonly email: string | undefined;
  readonly password: ImportedPassword;
  /** Names; undefined: upstream's `super`. */
  readonly roles: readonly string[] | undefined;
}

export interface ImportedCollaboration {
  readonly line: number;
  readonly name: string;
  readonly encrypted: boolean | undefined;
  readonly participants: readonly ImportedParticipant[];
  /** Images of example tasks. */
  readonly tasks: readonly string[];
}

export interface ImportedParticipant {
  readonly line: number;
  /** Name of an organization, of the file or of the server. */
  readonly name: string;
  /** Lower case; undefined: generated for a new node. */
  readonly apiKey: string | undefined;
}

/** Parses the text of an import file. Throws V6_CONFIG_SYNTAX, V6_IMPORT_INVALID with all problems and their lines. */
export function parseImportFile(text: string, file: string): ImportDocument {
  const value = { typed: parseYaml(text, file), written: parseYamlAsWritten(text, file) };
  const problems: ImportProblems = { places: yamlPlaces(text), found: [] };
  const top = new ImportReader(value, [], problems);
  top.refuseOthers(['organizations', 'collaborations']);
  const document = {
    organizations: top.items('organizations', readOrganization),
    collaborations: top.items('collaborations', readCollaboration),
  };
  refuseRepetitions(document, problems.found);
  refuseProblems(file, problems.found);
  return document;
}

/** All problems in one error, in the order of their lines. Throws V6_IMPORT_INVALID when there are any. */
export function refuseProblems(
  file: string,
  found: readonly { readonly line: number; readonly sentence: string }[],
): void {
  if (found.length === 0) return;
  const problems = found
    .toSorted((a, b) => a.line - b.line)
    .map(({ line, sentence }) => ({ line, problem: sentence }));
  const list = problems.map(({ line, problem }) => `line ${line}: ${problem}`).join('; ');
  throw new V6Error('V6_IMPORT_INVALID', `${file}: ${list}`, {
    hints: [`Correct ${file} and run it again: nothing was changed.`],
    details: { file, problems },
  });
}

const ORGANIZATION_TEXTS = ['domain', 'address1', 'address2', 'zipcode', 'country'] as const;

function readOrganization(item: ImportReader): ImportedOrganization {
  item.refuseOthers(['name', ...ORGANIZATION_TEXTS, 'public_key', 'users']);
  const fields: { -readonly [K in keyof ImportedOrganization['fields']]: string | null } = {};
  for (const key of ORGANIZATION_TEXTS) {
    const value = item.text(key);
    if (value !== undefined) fields[key] = value;
  }
  const publicKey = item.text('public_key');
  if (typeof publicKey === 'string') checkPublicKey(item, publicKey);
  return {
    line: item.line,
    name: item.required('name'),
    fields: {
      ...(fields as Partial<Omit<OrganizationFields, 'name' | 'publicKey'>>),
      ...(publicKey === undefined ? {} : { publicKey: publicKey ?? '' }),
    },
    users: item.items('users', readUser),
  };
}

function checkPublicKey(item: ImportReader, publicKey: string): void {
  try {
    parsePublicKey(publicKey, 'the file');
  } catch (error) {
    if (!isV6Error(error)) throw error;
    item.problem('public_key', 'must be the base64 text of a PEM public key for RSA, or empty');
  }
}

function readUser(item: ImportReader): ImportedUser {
  const secrets = ['password', 'password_hash', 'password_file'] as const;
  item.refuseOthers(['username', 'firstname', 'lastname', 'email', 'roles', ...secrets]);
  const username = item.required('username');
  const bad = username === '' ? undefined : usernameProblem(username);
  if (bad !== undefined) item.problem('username', bad);
  const email = item.text('email') ?? undefined;
  const badEmail = email === undefined ? undefined : emailProblem(email);
  if (badEmail !== undefined) item.problem('email', badEmail);
  const given = secrets.filter((key) => typeof item.text(key) === 'string');
  if (given.length > 1) item.problem(given[1], `cannot stand beside ${given[0]}`);
  return {
    line: item.line,
    username,
    firstname: item.text('firstname') ?? undefined,
    lastname: item.text('lastname') ?? undefined,
    email,
    password: readPassword(item),
    roles: item.texts('roles'),
  };
}

function readPassword(item: ImportReader): ImportedPassword {
  const hash = item.text('password_hash');
  if (typeof hash === 'string') {
    if (!isPasswordHash(hash))
      item.problem('password_hash', 'must be a hash that starts with $argon2id$');
    return { kind: 'hash', hash };
  }
  const file = item.text('password_file');
  if (typeof file === 'string') return { kind: 'file', file };
  const password = item.text('password');
  if (typeof password !== 'string') return { kind: 'generated' };
  const bad = passwordProblem(password, item.text('username') ?? '');
  if (bad !== undefined) item.problem('password', bad);
  return { kind: 'plain', password };
}

/** Why a password does not follow the rule, as the end of a sentence; undefined when it does. */
export function passwordProblem(password: string, username: string): string | undefined {
  try {
    checkPasswordRule(password, [username]);
    return undefined;
  } catch (error) {
    if (!isV6Error(error)) throw error;
    const { errors } = error.details as { errors?: { password?: readonly string[] } };
    return `does not follow the rule: ${errors?.password?.join(' ') ?? error.message}`;
  }
}

function readCollaboration(item: ImportReader): ImportedCollaboration {
  item.refuseOthers(['name', 'encrypted', 'participants', 'tasks']);
  return {
    line: item.line,
    name: item.required('name'),
    encrypted: item.flag('encrypted'),
    participants: item.items('participants', readParticipant),
    tasks: item.texts('tasks') ?? [],
  };
}

function readParticipant(item: ImportReader): ImportedParticipant {
  item.refuseOthers(['name', 'api_key']);
  const apiKey = item.text('api_key') ?? undefined;
  // The key itself is a secret, also a misspelled one.
  if (apiKey !== undefined && !isApiKey(apiKey)) item.problem('api_key', 'must be a UUID');
  return { line: item.line, name: item.required('name'), apiKey: apiKey?.toLowerCase() };
}

type Found = ImportProblems['found'];

function refuseRepetitions({ organizations, collaborations }: ImportDocument, found: Found): void {
  const users = organizations.flatMap((organization) => organization.users);
  const participants = collaborations.flatMap((collaboration) => collaboration.participants);
  repeated(organizations, ({ name }) => name, 'organization', found);
  repeated(users, ({ username }) => username, 'user', found);
  repeated(users, ({ email }) => email?.toLowerCase(), 'email', found);
  repeated(collaborations, ({ name }) => name, 'collaboration', found);
  for (const collaboration of collaborations)
    repeated(collaboration.participants, ({ name }) => name, 'participant', found);
  const keys = new Map<string, number>();
  for (const { apiKey, line } of participants) {
    if (apiKey === undefined) continue;
    const first = keys.get(apiKey);
    if (first !== undefined)
      found.push({ line, sentence: `api_key is that of line ${first}: each node has its own` });
    else keys.set(apiKey, line);
  }
}

function repeated<T extends { readonly line: number }>(
  items: readonly T[],
  valueOf: (item: T) => string | undefined,
  what: string,
  found: Found,
): void {
  const seen = new Map<string, number>();
  for (const item of items) {
    const value = valueOf(item);
    if (value === undefined || value === '') continue;
    const first = seen.get(value);
    if (first === undefined) seen.set(value, item.line);
    else
      found.push({
        line: item.line,
        sentence: `${what} ${JSON.stringify(value)} stands in line ${first} already`,
      });
  }
}
