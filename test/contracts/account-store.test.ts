import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openStore } from '../../src/adapters/database/open.ts';
import type { Store } from '../../src/server/interfaces/store.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';
import { addOrganization } from '../support/server-app.ts';

let postgres: TestPostgres;
let folder: string;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres?.remove());

const NOW = new Date('2030-01-01T00:00:00Z');
const at = (seconds: number): Date => new Date(NOW.getTime() + seconds * 1000);

const DATABASES: readonly (readonly [string, () => Promise<string>])[] = [
  ['SQLite', async () => 'sqlite:///data.sqlite'],
  ['PostgreSQL', () => postgres.newDatabase()],
];

describe.each(DATABASES)('what the store on %s remembers of logins', (_name, newUri) => {
  let store: Store;
  /** Another replica, or the same process again. */
  let other: Store;
  let user: number;
  beforeEach(async () => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'v6-accounts-'));
    const uri = await newUri();
    const open = (): Promise<Store> => openStore({ uri, dataDir: folder, roles: [] });
    store = await open();
    other = await open();
    const organizationId = await addOrganization(store, 'North');
    user = await store.transaction((tx) =>
      tx.users.create({
        username: 'nora',
        firstname: '',
        lastname: '',
        email: 'nora@example.org',
        organizationId,
        passwordHash: 'x',
        roles: [],
      }),
    );
  });
  afterEach(async () => {
    await Promise.all([store.close(), other.close()]);
    rmSync(folder, { recursive: true });
  });

  const limit = { key: 'a', max: 3, windowMs: 60_000, slides: false };

  it('counts parallel attempts at two replicas, never more than allowed', async () => {
    const tries = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        (i % 2 === 0 ? store : other).attempts.take([limit], NOW),
      ),
    );
    expect(tries.filter((full) => full.length === 0)).toHaveLength(3);
  });

  it('counts several keys at once, and names those that are full', async () => {
    const wide = { ...limit, key: 'b', max: 100 };
    for (let i = 0; i < 3; i += 1)
      expect(await store.attempts.take([limit, wide], NOW)).toStrictEqual([]);
    expect(await store.attempts.take([wide, limit], NOW)).toStrictEqual(['a']);
    await store.attempts.giveBack(['a']);
    expect(await store.attempts.take([limit], NOW)).toStrictEqual([]);
    await store.attempts.forget(['a']);
    expect(await store.attempts.take([limit], NOW)).toStrictEqual([]);
  });

  it('begins a window anew when it is over, and moves it on where it slides', async () => {
    const sliding = { ...limit, key: 's', slides: true };
    for (const second of [0, 50, 100]) {
      await store.attempts.take([limit], at(second));
      await store.attempts.take([sliding], at(second));
    }
    expect(await store.attempts.take([limit], at(110))).toStrictEqual([]);
    expect(await store.attempts.take([sliding], at(110))).toStrictEqual(['s']);
    expect(await store.attempts.take([sliding], at(161))).toStrictEqual([]);
    await store.attempts.removeExpired({ now: at(1000), known: at(1000) });
  });

  it('knows an address from where a login worked', async () => {
    await store.attempts.remember('here', NOW);
    await store.attempts.remember('here', at(10));
    expect(await other.attempts.isKnown('here', NOW)).toBe(true);
    expect(await other.attempts.isKnown('here', at(10))).toBe(false);
    expect(await other.attempts.isKnown('there', new Date(0))).toBe(false);
  });

  it('lets one of two replicas go on with a session', async () => {
    const session = {
      id: 's',
      accountId: user,
      sequence: 0,
      confirmed: 0,
      source: '192.0.2.1',
      createdAt: NOW,
      rotatedAt: NOW,
      expiresAt: at(100),
      endedAt: null,
    };
    await store.sessions.start(session);
    await other.sessions.start({ ...session, sequence: 9 });
    const times = { rotatedAt: at(1), expiresAt: at(200) };
    const both = await Promise.all([
      store.sessions.advance('s', 0, times),
      other.sessions.advance('s', 0, times),
    ]);
    expect(both.filter(Boolean)).toHaveLength(1);
    await store.sessions.confirm('s', 1);
    expect(await other.sessions.find('s')).toStrictEqual({
      ...session,
      sequence: 1,
      confirmed: 1,
      ...times,
    });
    expect(await other.sessions.list(user, NOW)).toHaveLength(1);
    await store.sessions.end('s', at(2));
    expect(await other.sessions.list(user, NOW)).toStrictEqual([]);
    expect(await other.sessions.advance('s', 1, times)).toBe(false);
    await store.sessions.removeExpired(at(200));
    expect(await other.sessions.find('s')).toBeUndefined();
  });

  it('gives a code of a second factor to one request', async () => {
    const { secondFactors } = store;
    expect(await secondFactors.find(user)).toBeUndefined();
    await secondFactors.savePending(user, 'old');
    await secondFactors.savePending(user, 'new');
    expect(await secondFactors.enrol(user, 'old')).toBe(false);
    const both = await Promise.all([
      secondFactors.takeStep(user, 7),
      other.secondFactors.takeStep(user, 7),
    ]);
    expect(both.filter(Boolean)).toHaveLength(1);
    expect(await secondFactors.takeStep(user, 6)).toBe(false);
    expect(await secondFactors.enrol(user, 'new')).toBe(true);
    expect(await other.secondFactors.find(user)).toStrictEqual({
      secret: 'new',
      pending: null,
      lastStep: 7,
    });
    await secondFactors.remove(user);
    expect(await other.secondFactors.find(user)).toBeUndefined();
  });

  it('takes a mailed token once, for its purpose, in its time', async () => {
    const token = { digest: 'd', userId: user, purpose: 'password', expiresAt: at(60) } as const;
    await store.recoveries.create({ ...token, digest: 'older' });
    await store.recoveries.create(token);
    const { recoveries } = other;
    expect(await recoveries.take('older', 'password', NOW)).toBeUndefined();
    expect(await recoveries.take('d', 'second-factor', NOW)).toBeUndefined();
    expect(await recoveries.take('d', 'password', at(60))).toBeUndefined();
    const both = await Promise.all([
      store.recoveries.take('d', 'password', NOW),
      recoveries.take('d', 'password', NOW),
    ]);
    expect(both.filter((one) => one === user)).toHaveLength(1);
  });

  it('lets one mail of a kind go in its time', async () => {
    const send = (seconds: number): Promise<boolean> =>
      store.recoveries.takeMail(user, 'locked', { now: at(seconds), since: at(seconds - 60) });
    const both = await Promise.all([send(0), send(0)]);
    expect(both.filter(Boolean)).toHaveLength(1);
    expect(await send(59)).toBe(false);
    expect(await send(60)).toBe(true);
    await store.recoveries.giveBackMail(user, 'locked');
    expect(await send(61)).toBe(true);
  });

  it('forgets all of it with the user', async () => {
    await store.secondFactors.savePending(user, 'x');
    await store.users.remove(user);
    expect(await store.secondFactors.find(user)).toBeUndefined();
    expect(await store.users.findByEmail('nora@example.org')).toBeUndefined();
  });
});
