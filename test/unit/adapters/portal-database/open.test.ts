import { mkdtempSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openPortalDatabase } from '../../../../src/adapters/portal-database/open.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'v6db-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("the portal's database", () => {
  it('is made for its owner alone and found again with what it held', () => {
    const file = path.join(folder, 'portal.sqlite');
    const first = openPortalDatabase(file);
    expect(first.reserve({ owner: 'alpha', anonymous: false, first: 10, last: 14 })).toBe(10);
    first.close();
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const second = openPortalDatabase(file);
    expect(second.list()).toEqual([
      { owner: 'alpha', anonymous: false, offset: 10, certificate: undefined },
    ]);
    second.close();
  });

  it('is left alone when a newer version has written it', () => {
    const file = path.join(folder, 'portal.sqlite');
    openPortalDatabase(file).close();
    const raw = new DatabaseSync(file);
    raw.exec('PRAGMA user_version = 99');
    raw.close();
    expect(() => openPortalDatabase(file)).toThrow(
      expect.objectContaining({ code: 'V6_DATABASE' }),
    );
  });

  it('says so when it cannot be opened', () => {
    expect(() => openPortalDatabase(path.join(folder, 'absent', 'portal.sqlite'))).toThrow(
      expect.objectContaining({ code: 'V6_DATABASE' }),
    );
    expect(() => openPortalDatabase(folder)).toThrow(
      expect.objectContaining({ code: 'V6_DATABASE' }),
    );
  });
});
