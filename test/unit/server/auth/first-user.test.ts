import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  ensureFirstUser,
  warnOfFirstPassword,
  warnOfPasswordHash,
} from '../../../../src/server/auth/first-user.ts';
import { createTestServer, recordingLogger, type TestServer } from '../../../support/server-app.ts';
import { type TempFolder, tempFolder } from '../../../support/temp-folder.ts';

let server: TestServer;
let folder: TempFolder;
let file: string;
beforeEach(async () => {
  server = await createTestServer();
  folder = await tempFolder();
  file = (await ensureFirstUser(server.store, folder.path)) ?? '';
});
afterEach(async () => {
  await server.close();
  await folder.remove();
});

const warnings = async (): Promise<string> => {
  const { logger, lines } = recordingLogger();
  await warnOfFirstPassword(server.store, folder.path, logger);
  return lines.join('\n');
};

describe('the first password', () => {
  it('is warned of at each start until it was changed; then its file goes', async () => {
    const password = readFileSync(file, 'utf8').trim();
    expect(await warnings()).toContain('first password');
    expect(await warnings()).not.toContain(password);
    const login = await server.call('POST', '/token/user', {
      body: { username: 'root', password },
    });
    const change = await server.call('PATCH', '/password/change', {
      token: String(login.body.access_token),
      body: { current_password: password, new_password: 'Other-pass-2' },
    });
    expect(change.status).toBe(200);
    expect(await warnings()).toBe('');
    expect(existsSync(path.join(folder.path, 'root-password'))).toBe(false);
    expect(await warnings()).toBe('');
  });

  it('is not taken from a bcrypt hash, and the log says so without it', () => {
    const { logger, lines } = recordingLogger();
    warnOfPasswordHash({ V6_INIT_SUPER_PASS_HASHED: '$2b$12$abc' }, logger);
    expect(lines.join()).toContain('V6_INIT_SUPER_PASS_HASHED');
    expect(lines.join()).not.toContain('$2b$');
    warnOfPasswordHash({}, logger);
    expect(lines).toHaveLength(1);
  });
});
