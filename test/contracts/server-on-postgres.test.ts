import { afterAll, describe } from 'vitest';
import { openStore } from '../../src/adapters/database/open.ts';
import { FIXED_ROLES } from '../../src/server/auth/roles.ts';
import { startPostgres } from '../support/postgres.ts';
import { useDatabases } from '../support/server-app.ts';

// Tests of the server once more, each on a PostgreSQL database of its own: a copy of one that is migrated already, made while
// the test before it runs. Those that store and count; what hashes passwords or only renders is the same on any database.
const FILES = {
  'http/parties': () => import('../unit/server/http/parties.test.ts'),
  'http/ports': () => import('../unit/server/http/ports.test.ts'),
  'http/roles': () => import('../unit/server/http/roles.test.ts'),
  'http/runs': () => import('../unit/server/http/runs.test.ts'),
  'http/sessions': () => import('../unit/server/http/sessions.test.ts'),
  'http/studies': () => import('../unit/server/http/studies.test.ts'),
  'http/tasks': () => import('../unit/server/http/tasks.test.ts'),
  'services/presence': () => import('../unit/server/services/presence.test.ts'),
};

const postgres = await startPostgres();
const template = await postgres.newDatabase();
await (await openStore({ uri: template, dataDir: '/', roles: FIXED_ROLES })).close();
let next = postgres.newDatabase(template);
useDatabases(() => {
  const made = next;
  next = made.then(() => postgres.newDatabase(template));
  return made;
});
afterAll(async () => {
  await next;
  await postgres.remove();
});

for (const [name, load] of Object.entries(FILES))
  describe(`on PostgreSQL: ${name}`, async () => {
    await load();
  });
