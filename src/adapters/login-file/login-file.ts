import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { V6Error } from '../../core/errors.ts';
import { isRecord } from '../../core/protocol/json.ts';
import type { Login, LoginStore, NamedLogin } from '../../diagnose/interfaces/login-store.ts';

interface LoginFile {
  readonly version: 1;
  /** Names in the order in which they became current; the last one is. */
  readonly selected: readonly string[];
  readonly logins: Readonly<Record<string, Login>>;
}

const EMPTY: LoginFile = { version: 1, selected: [], logins: {} };

/** Logins in one JSON file, 0600, replaced as a whole so that a crash leaves the old or the new one. */
export function createLoginFile(file: string): LoginStore {
  const read = async (): Promise<LoginFile> => {
    let text: string;
    try {
      text = await readFile(file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return EMPTY;
      throw fileError(file, 'cannot be read', error);
    }
    return parseLoginFile(text, file);
  };
  const change = async (edit: (content: LoginFile) => LoginFile): Promise<void> => {
    const before = await read();
    const after = edit(before);
    if (after === before) return;
    if (Object.keys(after.logins).length > 0) await write(file, after);
    else await removeFile(file);
  };
  const find = async (name?: string): Promise<NamedLogin | undefined> => {
    const content = await read();
    const wanted = name ?? content.selected.at(-1);
    const login = wanted === undefined ? undefined : own(content.logins, wanted);
    return login === undefined ? undefined : { name: wanted ?? '', ...login };
  };
  return {
    find,
    get: async (name) => {
      const found = await find(name);
      if (found === undefined) throw notFound(name, Object.keys((await read()).logins));
      return found;
    },
    list: async () => {
      const { logins, selected } = await read();
      return Object.keys(logins)
        .toSorted()
        .map((name) => ({ name, current: name === selected.at(-1) }));
    },
    save: (name, login) => change((content) => withLogin(content, name, login)),
    updateTokens: (name, tokens) =>
      change((content) => {
        const login = own(content.logins, name);
        if (login === undefined) return content;
        return { ...content, logins: { ...content.logins, [name]: { ...login, ...tokens } } };
      }),
    select: (name) =>
      change((content) => {
        if (own(content.logins, name) === undefined)
          throw notFound(name, Object.keys(content.logins));
        return { ...content, selected: moveToEnd(content.selected, name) };
      }),
    remove: (name) =>
      change((content) => {
        if (own(content.logins, name) === undefined) return content;
        const { [name]: _removed, ...logins } = content.logins;
        return { ...content, logins, selected: content.selected.filter((at) => at !== name) };
      }),
  };
}

function withLogin(content: LoginFile, name: string, login: Login): LoginFile {
  const { serverUrl, username, accessToken, refreshToken, refreshPath } = login;
  const privateKeyFile = login.privateKeyFile ?? own(content.logins, name)?.privateKeyFile;
  const stored: Login = {
    serverUrl,
    username,
    accessToken,
    refreshToken,
    refreshPath,
    ...(privateKeyFile === undefined ? {} : { privateKeyFile }),
  };
  return {
    ...content,
    logins: { ...content.logins, [name]: stored },
    selected: moveToEnd(content.selected, name),
  };
}

const moveToEnd = (names: readonly string[], name: string): readonly string[] => [
  ...names.filter((at) => at !== name),
  name,
];

const own = (logins: LoginFile['logins'], name: string): Login | undefined =>
  Object.hasOwn(logins, name) ? logins[name] : undefined;

async function write(file: string, content: LoginFile): Promise<void> {
  const temporary = `${file}.${randomBytes(6).toString('hex')}`;
  try {
    await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
    await writeFile(temporary, `${JSON.stringify(content, null, 2)}\n`, {
      mode: 0o600,
      flag: 'wx',
    });
    await chmod(temporary, 0o600);
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw fileError(file, 'cannot be written', error);
  }
}

/** The last login takes the file with it, and the folder when nothing else is in it. */
async function removeFile(file: string): Promise<void> {
  try {
    await rm(file, { force: true });
  } catch (error) {
    throw fileError(file, 'cannot be removed', error);
  }
  await rmdir(path.dirname(file)).catch(() => undefined);
}

function parseLoginFile(text: string, file: string): LoginFile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw notOurs(file, error);
  }
  if (!isRecord(value) || value.version !== 1 || !isRecord(value.logins)) throw notOurs(file);
  const logins = Object.fromEntries(
    Object.entries(value.logins).map(([name, login]) => {
      if (!isLogin(login)) throw notOurs(file);
      return [name, login];
    }),
  );
  const selected = Array.isArray(value.selected) ? value.selected : [];
  return {
    version: 1,
    logins,
    selected: selected.filter((name): name is string => typeof name === 'string' && name in logins),
  };
}

function isLogin(value: unknown): value is Login {
  const keys = ['serverUrl', 'username', 'accessToken', 'refreshToken', 'refreshPath'];
  return (
    isRecord(value) &&
    keys.every((key) => typeof value[key] === 'string') &&
    ['string', 'undefined'].includes(typeof value.privateKeyFile)
  );
}

function notFound(name: string | undefined, known: readonly string[]): V6Error {
  const others =
    known.length === 0 ? [] : [`Or choose one of these with --login: ${known.join(', ')}`];
  const logIn = `npx v6 login --server URL --username NAME${name === undefined ? '' : ` --login ${name}`}`;
  return new V6Error(
    'V6_LOGIN_NOT_FOUND',
    name === undefined
      ? 'nobody is logged in'
      : `there is no login of the name ${JSON.stringify(name)}`,
    { hints: [`Log in first: ${logIn}`, ...others], details: { known } },
  );
}

function notOurs(file: string, cause?: unknown): V6Error {
  return new V6Error('V6_CONFIG_SYNTAX', `${file} does not hold logins of v6`, {
    hints: ['Move the file away and log in again: npx v6 login'],
    cause,
    details: { file },
  });
}

function fileError(file: string, what: string, cause: unknown): V6Error {
  const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
  return new V6Error('V6_CONFIG_WRITE', `${file} ${what}: ${reason}`, {
    hints: ['Check owner and permissions of the file and its folder.'],
    cause,
    details: { file },
  });
}
