import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createPinFiles } from '../../src/adapters/organization-keys/pin-files.ts';
import { acceptKey, type PinStore, type TrustRules } from '../../src/core/crypto/pins.ts';
import { fingerprintOf, keyPair } from '../fakes/key-pairs.ts';
import { FakePins } from '../fakes/pins.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const SERVER = 'https://server.test:443/api';
let temp: TempFolder;
beforeEach(async () => {
  temp = await tempFolder();
});
afterEach(() => temp.remove());

const at = new Date('2030-01-01T00:00:00Z');
const offer = (name: string) => ({
  organization: 3,
  name: 'North',
  key: keyPair(name).key.publicKey,
});
const rules = (more: Partial<TrustRules> = {}): TrustRules => ({
  pinned: new Map(),
  trustOnFirstUse: true,
  trustCommand: 'v6 node keys trust',
  ...more,
});

describe.each<[string, () => PinStore]>([
  ['in memory', () => new FakePins()],
  ['on disk', () => createPinFiles(path.join(temp.path, 'keys'), SERVER)],
])('pinned keys %s', (_where, create) => {
  it('trust the first key of an organization, and no other from then on', async () => {
    const pins = create();
    const key = await acceptKey(pins, rules(), offer('a'), at);
    expect(key.fingerprint).toBe(fingerprintOf('a'));
    await acceptKey(pins, rules(), offer('a'), at);
    await expect(acceptKey(pins, rules(), offer('b'), at)).rejects.toMatchObject({
      code: 'V6_ENCRYPTION_KEY_CHANGED',
      details: { organization: 3, fingerprint: fingerprintOf('b'), pinned: fingerprintOf('a') },
    });
    expect(await pins.list()).toEqual([
      {
        organization: 3,
        name: 'North',
        fingerprint: fingerprintOf('a'),
        origin: 'first use',
        since: at,
      },
    ]);
    expect(await pins.listRefused()).toMatchObject([{ fingerprint: fingerprintOf('b'), at }]);
  });

  it('take another key once a person trusts it, and forget what was refused', async () => {
    const pins = create();
    await acceptKey(pins, rules(), offer('a'), at);
    await acceptKey(pins, rules(), offer('b'), at).catch(() => undefined);
    await pins.trust({
      organization: 3,
      name: 'North',
      fingerprint: fingerprintOf('b'),
      origin: 'trusted',
      since: at,
    });
    await acceptKey(pins, rules(), offer('b'), at);
    expect(await pins.listRefused()).toEqual([]);
    await expect(acceptKey(pins, rules(), offer('a'), at)).rejects.toMatchObject({
      code: 'V6_ENCRYPTION_KEY_CHANGED',
    });
    expect(await pins.forget(3)).toBe(true);
    expect(await pins.forget(3)).toBe(false);
    expect([await pins.list(), await pins.listRefused()]).toEqual([[], []]);
  });

  it('are all forgotten when the server is', async () => {
    const pins = create();
    await acceptKey(pins, rules(), offer('a'), at);
    await acceptKey(pins, rules(), offer('b'), at).catch(() => undefined);
    await pins.removeAll();
    await pins.removeAll();
    expect([await pins.list(), await pins.listRefused()]).toEqual([[], []]);
    await acceptKey(pins, rules(), offer('b'), at);
  });

  it('ask for a person where first keys are not trusted', async () => {
    const pins = create();
    const strict = rules({ trustOnFirstUse: false });
    await expect(acceptKey(pins, strict, offer('a'), at)).rejects.toMatchObject({
      code: 'V6_ENCRYPTION_KEY_UNKNOWN',
    });
    expect(await pins.list()).toEqual([]);
  });

  it('follow the configuration before what is stored', async () => {
    const pins = create();
    await acceptKey(pins, rules(), offer('a'), at);
    const given = rules({ pinned: new Map([[3, fingerprintOf('b')]]) });
    await acceptKey(pins, given, offer('b'), at);
    await expect(acceptKey(pins, given, offer('a'), at)).rejects.toMatchObject({
      code: 'V6_ENCRYPTION_KEY_CHANGED',
    });
  });

  it('of two first keys that come together keep one', async () => {
    const pins = create();
    const pin = (name: string) =>
      pins.pinFirst({
        organization: 3,
        name: 'North',
        fingerprint: fingerprintOf(name),
        origin: 'first use',
        since: at,
      });
    const [one, two] = await Promise.all([pin('a'), pin('b')]);
    expect(one.fingerprint).toBe(two.fingerprint);
  });
});

describe('pinned keys on disk', () => {
  it('are of one server, in files that only their owner reads', async () => {
    const folder = path.join(temp.path, 'keys');
    await acceptKey(createPinFiles(folder, SERVER), rules(), offer('a'), at);
    const elsewhere = createPinFiles(folder, 'https://other.test/api');
    expect(await elsewhere.list()).toEqual([]);
    const [server = ''] = await readdir(folder);
    const file = path.join(folder, server, '3.json');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ server: SERVER });
  });

  it('that were damaged are an error, and not an unknown organization', async () => {
    const folder = path.join(temp.path, 'keys');
    const pins = createPinFiles(folder, SERVER);
    await acceptKey(pins, rules(), offer('a'), at);
    const [server = ''] = await readdir(folder);
    await mkdir(path.join(folder, server), { recursive: true });
    await writeFile(path.join(folder, server, '3.json'), '{"organization":3}');
    await expect(acceptKey(pins, rules(), offer('b'), at)).rejects.toMatchObject({
      code: 'V6_CONFIG_SYNTAX',
    });
  });
});
