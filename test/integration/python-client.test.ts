import { createSecretKey, randomBytes } from 'node:crypto';
import { decodeJwt, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type PythonAnswer, PythonClients, type PythonUser } from '../support/python-client.ts';
import {
  freePort,
  rootPassword,
  type ServerProcess,
  startServerProcess,
} from '../support/server-process.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

// The real user client of Python vantage6 4.15.2 against our server as a process: every method that it has is called.

const SECRET = randomBytes(32).toString('hex');
const PASSWORD = 'Right-pass-1';
const ADDRESS = { address1: 'Quay 1', address2: '', zipcode: '1011', country: 'NL', domain: '' };
const ROOT_ROLE = 1;

/** Need a second service that is not part of our server: an algorithm store. */
const NEEDS_STORE = /^(algorithm|store)\./;

let folder: TempFolder;
let server: ServerProcess;
let python: PythonClients;
let root: PythonUser;
let alice: PythonUser;
let north: number;
let south: number;
let west: number;
let trial: number;
const nodes: number[] = [];

const id = (record: Readonly<Record<string, unknown>>): number => Number(record.id);
const names = (list: readonly Readonly<Record<string, unknown>>[]) => list.map(({ name }) => name);
const message = (answer: PythonAnswer): unknown => (answer.value as { msg?: unknown } | null)?.msg;

beforeAll(async () => {
  folder = await tempFolder();
  const config = `jwt_secret_key: ${SECRET}\n`;
  server = await startServerProcess(folder.path, { port: await freePort(), config });
  python = await PythonClients.start();
  root = await python.open('root', server.port);
  alice = await python.open('alice', server.port);
});

afterAll(async () => {
  python?.stop();
  await server?.stop();
  await folder?.remove();
});

describe('a Python user client', () => {
  it('reads version and health without a login', async () => {
    expect(await root.ask('util.get_server_version')).toMatchObject({
      value: { version: expect.stringMatching(/^\d+\.\d+/) },
    });
    expect((await root.ask('util.get_server_health')).value).toMatchObject({ database: true });
  });

  it('logs in, and takes a wrong password for what it is', async () => {
    const wrong = root.ask('authenticate', { username: 'root', password: 'Wrong-pass-1' });
    await expect(wrong).rejects.toMatchObject({ type: 'AuthenticationException' });
    const password = await rootPassword(folder.path);
    const { said } = await root.ask('authenticate', { username: 'root', password });
    expect(said).toMatch(/Succesfully authenticated[^]*Organization: root/);
    await root.ask('setup_encryption', { private_key_file: null });
    expect((await root.ask('check_if_blob_store_enabled')).value).toBe(false);
  });

  it('creates, changes, lists and deletes organizations', async () => {
    north = id(await root.record('organization.create', { name: 'North', ...ADDRESS }));
    south = id(
      await root.record('organization.create', { name: 'South', ...ADDRESS, public_key: '' }),
    );
    west = id(
      await root.record('organization.create', { name: 'West', ...ADDRESS, country: 'DE' }),
    );
    const spare = id(await root.record('organization.create', { name: 'Spare', ...ADDRESS }));
    expect(await root.record('organization.get', { id_: north })).toMatchObject({
      name: 'North',
      address1: 'Quay 1',
      address2: '',
      public_key: '',
      collaborations: expect.stringContaining(`organization_id=${north}`),
    });
    const changed = await root.record('organization.update', { id_: west, name: 'West Side' });
    expect(changed).toMatchObject({ name: 'West Side', country: 'DE' });
    expect(names(await root.list('organization.list', { name: 'Wes%' }))).toEqual(['West Side']);
    expect(names(await root.list('organization.list', { country: 'NL' }))).toEqual([
      'North',
      'South',
      'Spare',
    ]);
    const page = { page: 2, per_page: 2 };
    expect(names(await root.list('organization.list', page))).toEqual(['South', 'West Side']);
    await root.ask('organization.delete', { id_: spare });
    expect(names(await root.list('organization.list'))).not.toContain('Spare');
  });

  it('creates, changes, lists and deletes collaborations', async () => {
    const made = await root.record('collaboration.create', {
      name: 'Trial',
      organizations: [north, south],
    });
    trial = id(made);
    expect(made).toMatchObject({ name: 'Trial', encrypted: false });
    const other = { name: 'Sealed', organizations: [north], encrypted: true };
    const sealed = id(await root.record('collaboration.create', other));
    const added = await root.list('collaboration.add_organization', {
      collaboration: sealed,
      organization: west,
    });
    expect(new Set(names(added))).toEqual(new Set(['North', 'West Side']));
    const rest = await root.list('collaboration.remove_organization', {
      collaboration: sealed,
      organization: north,
    });
    expect(names(rest)).toEqual(['West Side']);
    const changed = {
      id_: sealed,
      name: 'Sealed 2',
      encrypted: false,
      organizations: [west, south],
    };
    expect(await root.record('collaboration.update', changed)).toMatchObject({
      name: 'Sealed 2',
      encrypted: false,
    });
    const everywhere = { scope: 'global' };
    expect(names(await root.list('collaboration.list', everywhere))).toEqual(['Trial', 'Sealed 2']);
    expect(
      names(await root.list('collaboration.list', { ...everywhere, organization: west })),
    ).toEqual(['Sealed 2']);
    expect(
      names(await root.list('collaboration.list', { ...everywhere, encrypted: true })),
    ).toEqual([]);
    expect(await root.list('collaboration.list')).toEqual([]);
    expect(await root.record('collaboration.get', { id_: trial })).toMatchObject({ id: trial });
    await root.ask('collaboration.delete', { id_: sealed });
    expect(names(await root.list('collaboration.list', everywhere))).toEqual(['Trial']);
    await root.ask('setup_collaboration', { collaboration_id: trial });
  });

  it('creates, changes, lists and deletes studies', async () => {
    const study = { name: 'Cohort', organizations: [north], collaboration: trial };
    const cohort = id(await root.record('study.create', study));
    const added = await root.list('study.add_organization', { study: cohort, organization: south });
    expect(new Set(names(added))).toEqual(new Set(['North', 'South']));
    await root.list('study.remove_organization', { study: cohort, organization: south });
    expect(await root.record('study.update', { id_: cohort, name: 'Cohort A' })).toMatchObject({
      name: 'Cohort A',
    });
    expect(await root.record('study.get', { id_: cohort })).toMatchObject({
      id: cohort,
      collaboration: { id: trial },
    });
    const listed = await root.list('study.list', {
      collaboration: trial,
      include_organizations: true,
    });
    expect(listed).toMatchObject([{ name: 'Cohort A', organizations: [{ id: north }] }]);
    expect(await root.list('study.list', { organization: west })).toEqual([]);
    await root.ask('study.delete', { id_: cohort });
    expect(await root.list('study.list')).toEqual([]);
  });

  it('reads rules, and creates, changes, lists and deletes roles', async () => {
    const filter = { operation: 'view', name: 'organization', scope: 'global' };
    const [rule] = await root.list('rule.list', filter);
    expect(rule).toMatchObject({ name: 'organization', operation: 'VIEW', scope: 'GLOBAL' });
    expect(await root.list('rule.list', { page: 1, per_page: 100 })).toHaveLength(86);
    expect(await root.record('rule.get', { id_: rule?.id })).toEqual(rule);
    const wanted = { name: 'Reader', description: 'reads', rules: [rule?.id], organization: north };
    const reader = id(await root.record('role.create', wanted));
    expect(
      await root.record('role.update', { role: reader, description: 'reads all' }),
    ).toMatchObject({
      name: 'Reader',
      description: 'reads all',
      is_default_role: false,
      organization: { id: north },
    });
    expect(await root.record('role.get', { id_: reader })).toMatchObject({ id: reader });
    const own = await root.list('role.list', { organization: north, include_root: false });
    expect(names(own)).toContain('Reader');
    expect(names(await root.list('role.list', { name: 'Researcher' }))).toEqual(['Researcher']);
    await root.ask('role.delete', { role: reader });
    expect(names(await root.list('role.list', { per_page: 50 }))).not.toContain('Reader');
  });

  it('creates, changes, lists and deletes users', async () => {
    const person = { firstname: 'A', lastname: 'B', password: PASSWORD, rules: [] };
    const user = (name: string, more = {}) => ({
      ...person,
      username: name,
      email: `${name}@example.org`,
      organization: north,
      roles: [ROOT_ROLE],
      ...more,
    });
    const made = await root.record('user.create', user('alice'));
    expect(made).toMatchObject({ username: 'alice', organization: { id: north } });
    expect(made).not.toHaveProperty('password');
    const bob = id(
      await root.record('user.create', user('bob', { organization: south, roles: [] })),
    );
    expect(
      await root.record('user.update', { id_: bob, lastname: 'C', email: 'bob@example.com' }),
    ).toMatchObject({
      lastname: 'C',
      email: 'bob@example.com',
    });
    expect(await root.record('user.get', { id_: bob })).toMatchObject({ id: bob, username: 'bob' });
    const filters = [
      { username: 'bo%' },
      { organization: south },
      { lastname: 'C' },
      { email: 'bob@example.com' },
    ];
    for (const filter of filters)
      expect(await root.list('user.list', filter)).toMatchObject([{ username: 'bob' }]);
    const rooted = await root.list('user.list', { role: ROOT_ROLE, per_page: 50 });
    expect(new Set(rooted.map(({ username }) => username))).toEqual(new Set(['alice', 'root']));
    await root.ask('user.delete', { id_: bob });
    expect(await root.list('user.list', { username: 'bob' })).toEqual([]);
  });

  it('changes its password, and logs in with the new one only', async () => {
    await alice.ask('authenticate', { username: 'alice', password: PASSWORD });
    const change = { current_password: PASSWORD, new_password: `${PASSWORD}-new` };
    expect(message(await alice.ask('util.change_my_password', change))).toEqual(expect.any(String));
    const old = alice.ask('authenticate', { username: 'alice', password: PASSWORD });
    await expect(old).rejects.toMatchObject({ type: 'AuthenticationException' });
    await alice.ask('authenticate', { username: 'alice', password: `${PASSWORD}-new` });
    await alice.ask('setup_collaboration', { collaboration_id: trial });
    expect(names(await alice.list('collaboration.list'))).toEqual(['Trial']);
  });

  it('creates, changes, lists and deletes nodes, and resets a key', async () => {
    for (const organization of [north, south]) {
      const node = await root.record('node.create', { collaboration: trial, organization });
      expect(node.api_key).toMatch(/^[0-9a-f-]{36}$/);
      nodes.push(id(node));
    }
    const [first = 0, second = 0] = nodes;
    expect(
      await root.record('node.update', { id_: first, name: 'north node', clear_ip: true }),
    ).toMatchObject({
      name: 'north node',
      ip: null,
    });
    expect(await root.record('node.get', { id_: first })).not.toHaveProperty('api_key');
    for (const filter of [{ name: 'north%' }, { organization: north }])
      expect(await root.list('node.list', filter)).toMatchObject([{ id: first }]);
    expect(await root.list('node.list', { collaboration: trial, is_online: false })).toHaveLength(
      2,
    );
    expect(await root.list('node.list', { is_online: true })).toEqual([]);
    const reset = { endpoint: 'recover/node', method: 'post', json: { id: first } };
    expect(await root.record('request', reset)).toMatchObject({
      api_key: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
    expect(message(await root.ask('node.kill_tasks', { id_: first }))).toMatch(/0 of them open/);
    await root.ask('node.delete', { id_: second });
    expect(await root.list('node.list')).toHaveLength(1);
    nodes[1] = id(await root.record('node.create', { collaboration: trial, organization: south }));
  });

  it('creates, lists, kills and deletes tasks, and reads their runs', async () => {
    const wanted = {
      organizations: [north, south],
      name: 'means',
      image: 'registry.example/means:1',
      description: 'of ages',
      input_: { method: 'mean', kwargs: { column: 'age' } },
      databases: [{ label: 'default', query: 'SELECT 1' }],
    };
    const task = await alice.record('task.create', { ...wanted, collaboration: trial });
    expect(task).toMatchObject({ name: 'means', status: 'pending', collaboration: { id: trial } });
    const filters = [
      { initiating_org: north },
      { image: 'registry.example/%' },
      { name: 'means' },
      { description: 'of%' },
      { job: task.job_id },
      { user_created: true },
      { collaboration: trial },
      { database: 'default' },
      { status: 'pending' },
    ];
    for (const filter of filters)
      expect(await alice.list('task.list', filter), JSON.stringify(filter)).toMatchObject([
        { id: task.id },
      ]);
    for (const filter of [{ name: 'other' }, { user_created: false }, { parent: task.id }])
      expect(await alice.list('task.list', filter), JSON.stringify(filter)).toEqual([]);
    const full = await alice.record('task.get', { id_: task.id, include_results: true });
    expect(full.results).toHaveLength(2);

    const runs = await alice.list('run.from_task', { task_id: task.id, include_task: true });
    expect(runs).toMatchObject([
      { organization: { id: south }, task: { id: task.id } },
      { organization: { id: north }, status: 'pending' },
    ]);
    // The client has decoded it.
    expect(JSON.parse(String(runs[0]?.input))).toEqual(wanted.input_);
    const ofNode = { task: task.id, node: nodes[0], state: 'open' };
    expect(await alice.list('run.list', ofNode)).toMatchObject([{ organization: { id: north } }]);
    const mine = await alice.record('run.get', { id_: runs[0]?.id, include_task: true });
    expect(mine).toMatchObject({ id: runs[0]?.id, results: { id: runs[0]?.id } });
    expect(await alice.list('result.from_task', { task_id: task.id })).toMatchObject([
      { result: null },
      { result: null },
    ]);

    await alice.ask('task.kill', { id_: task.id });
    expect(await alice.record('task.get', { id_: task.id })).toMatchObject({
      status: 'killed by user',
    });
    // Waiting for what has ended ends at once.
    const waited = await alice.list('wait_for_results', { task_id: task.id, interval: 0.1 });
    expect(waited).toHaveLength(2);
    expect((await alice.ask('result.get', { id_: runs[0]?.id })).value).toBeNull();
    await alice.ask('task.delete', { id_: task.id });
    expect(await alice.list('task.list')).toEqual([]);
  });

  it('refreshes an expired token by itself and goes on', async () => {
    await alice.ask('refresh_token');
    const claims = decodeJwt(await loginToken());
    const hourAgo = Math.floor(Date.now() / 1000) - 3600;
    const expired = await new SignJWT({
      ...claims,
      iat: hourAgo - 60,
      nbf: hourAgo - 60,
      exp: hourAgo,
    })
      .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
      .sign(createSecretKey(Buffer.from(SECRET)));
    await alice.useToken(expired);
    const { value, said } = await alice.ask('user.get', {});
    expect(value).toMatchObject({ username: 'alice' });
    expect(said).toContain('Server responded with error code: 401');
  });

  it('tells its user what is wrong with a request', async () => {
    const nobody = await alice.ask('organization.get', { id_: 9999 });
    expect(message(nobody)).toMatch(/9999/);
    expect(nobody.said).toContain('error code: 404');
    const taken = await alice.ask('organization.create', { name: 'North', ...ADDRESS });
    expect(message(taken)).toMatch(/exists already/);
    const weak = {
      username: 'eve',
      firstname: 'E',
      lastname: 'V',
      password: 'weak',
      email: 'e@example.org',
    };
    const user = await alice.ask('user.create', { ...weak, organization: north });
    expect(user.said).toMatch(/errors:.*password|msg: .*password/i);
    const image = {
      organizations: [west],
      name: 't',
      image: 'x',
      description: '',
      input_: {},
      collaboration: trial,
    };
    expect(message(await alice.ask('task.create', image))).toEqual(expect.any(String));
  });

  it('can be walked through completely', async () => {
    const offered = (await python.methods()).filter((name) => !NEEDS_STORE.test(name));
    expect(
      offered.filter((name) => !python.called.has(name) && !CALLED_ELSEWHERE.has(name)),
    ).toEqual([]);
  });
});

/** In the tests with mail, second factors and keys. */
const CALLED_ELSEWHERE: ReadonlySet<string> = new Set([
  'util.reset_my_password',
  'util.set_my_password',
  'util.reset_two_factor_auth',
  'util.set_two_factor_auth',
  'util.generate_private_key',
]);

async function loginToken(): Promise<string> {
  const answer = await fetch(`${server.url}/token/user`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: 'alice', password: `${PASSWORD}-new` }),
  });
  return String(((await answer.json()) as { access_token?: unknown }).access_token);
}
