import { createHash, randomBytes } from 'node:crypto';
import {
  chown,
  link,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  stat,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import type { KeyPin, PinStore, RefusedKey } from '../../core/crypto/pins.ts';
import { V6Error } from '../../core/errors.ts';
import { isRecord, type Unknowns } from '../../core/protocol/json.ts';

/**
 * Pins of the server `baseUrl` below `folder`, 0600: `<server>/<organization>.json` for what is trusted, and
 * `<organization>.refused.json` beside it. One file each, made or replaced as a whole, so that a daemon and a command never undo
 * each other's work. They belong to whoever owns the folder above, because a daemon writes them as root.
 */
export function createPinFiles(folder: string, baseUrl: string): PinStore {
  const server = createHash('sha256').update(baseUrl).digest('hex').slice(0, 16);
  const root = path.join(folder, server);
  const pinOf = (organization: number): string => path.join(root, `${organization}.json`);
  const refusalOf = (organization: number): string =>
    path.join(root, `${organization}.refused.json`);
  const documentOf = (value: KeyPin | RefusedKey) => ({ server: baseUrl, ...value });
  const read = async <T>(pattern: RegExp, parse: (value: Unknowns) => T | undefined) => {
    const names = (await namesIn(root)).filter((name) => pattern.test(name));
    const found = await Promise.all(names.map((name) => readOne(path.join(root, name), parse)));
    return found.filter((item) => item !== undefined);
  };
  return {
    find: (organization) => readOne(pinOf(organization), parsePin),
    list: async () => byOrganization(await read(/^\d+\.json$/, parsePin)),
    async pinFirst(pin) {
      const file = pinOf(pin.organization);
      const isFirst = await place(file, documentOf(pin), { replaces: false });
      return isFirst ? pin : ((await readOne(file, parsePin)) ?? pin);
    },
    async trust(pin) {
      await place(pinOf(pin.organization), documentOf(pin), { replaces: true });
      await rm(refusalOf(pin.organization), { force: true });
    },
    async forget(organization) {
      const files = [pinOf(organization), refusalOf(organization)];
      const removed = await Promise.all(files.map(remove));
      return removed.includes(true);
    },
    async removeAll() {
      await rm(root, { recursive: true, force: true });
      await rmdir(folder).catch(() => undefined);
    },
    async noteRefused(refused) {
      await place(refusalOf(refused.organization), documentOf(refused), { replaces: true });
    },
    listRefused: async () => byOrganization(await read(/^\d+\.refused\.json$/, parseRefused)),
  };
}

function byOrganization<T extends { readonly organization: number }>(items: T[]): readonly T[] {
  return items.toSorted((a, b) => a.organization - b.organization);
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw cannot('read', folder, error);
  });
}

async function readOne<T>(
  file: string,
  parse: (value: Unknowns) => T | undefined,
): Promise<T | undefined> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw cannot('read', file, error);
  }
  const found = parseJson(text, parse);
  if (found !== undefined) return found;
  throw new V6Error('V6_CONFIG_SYNTAX', `${file} does not hold a pinned key`, {
    hints: ['Somebody changed it: look at it, then remove it and trust the key anew.'],
    details: { file },
  });
}

function parseJson<T>(text: string, parse: (value: Unknowns) => T | undefined): T | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? parse(value) : undefined;
  } catch {
    return undefined;
  }
}

/** False when the file is there and may not be replaced. */
async function place(
  file: string,
  content: unknown,
  { replaces }: { readonly replaces: boolean },
): Promise<boolean> {
  const draft = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    await makeFolders(path.dirname(file));
    await writeFile(draft, `${JSON.stringify(content, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
    await giveTo(draft);
    if (replaces) {
      await rename(draft, file);
      return true;
    }
    // Unlike a rename, a link never replaces: of two that come first together, one does.
    await link(draft, file);
    await rm(draft);
    return true;
  } catch (error) {
    await rm(draft, { force: true }).catch(() => undefined);
    if (!replaces && (error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw cannot('write', file, error);
  }
}

async function makeFolders(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let at = folder; at.length >= first.length; at = path.dirname(at)) await giveTo(at);
}

/** Gives a file to the owner of its folder; only root can, and only root has to. */
async function giveTo(at: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = await stat(path.dirname(at));
  await chown(at, uid, gid);
}

async function remove(file: string): Promise<boolean> {
  try {
    await rm(file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw cannot('remove', file, error);
  }
}

function parsePin(value: Unknowns): KeyPin | undefined {
  const { origin, since } = value;
  const refusal = parseRefused({ ...value, at: since });
  if (refusal === undefined || (origin !== 'first use' && origin !== 'trusted')) return undefined;
  const { at, ...key } = refusal;
  return { ...key, origin, since: at };
}

function parseRefused(value: Unknowns): RefusedKey | undefined {
  const { organization, name, fingerprint, at } = value;
  const date = new Date(String(at));
  const isWhole =
    typeof organization === 'number' &&
    typeof name === 'string' &&
    typeof fingerprint === 'string' &&
    /^[0-9a-f]{64}$/.test(fingerprint) &&
    !Number.isNaN(date.getTime());
  return isWhole ? { organization, name, fingerprint, at: date } : undefined;
}

function cannot(what: string, file: string, cause: unknown): V6Error {
  const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
  return new V6Error('V6_CONFIG_WRITE', `Cannot ${what} ${file}: ${reason}`, {
    cause,
    hints: ['Check owner and permissions of the file and its folder.'],
    details: { file },
  });
}
