import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createUserClient } from '../../src/adapters/http/user-client.ts';
import { logIn, UserSession } from '../../src/adapters/http/user-session.ts';
import { createPinFiles } from '../../src/adapters/organization-keys/pin-files.ts';
import { readPrivateKeyFile } from '../../src/adapters/organization-keys/private-key-file.ts';
import type { UserClient } from '../../src/diagnose/interfaces/user-client.ts';
import { fingerprintOf, keyPair, publicKeyOf } from '../fakes/key-pairs.ts';
import { joinAsNode, type RealServer, startRealServer } from '../support/real-network.ts';
import { runCli } from '../support/run-cli.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

let temp: TempFolder;
let server: RealServer;
let root: UserClient;
let north: number;
let south: number;
let collaboration: number;
const life = new AbortController();

const env = () => ({
  HOME: temp.path,
  XDG_CONFIG_HOME: `${temp.path}/config`,
  XDG_DATA_HOME: `${temp.path}/share`,
});
const run = (...args: readonly string[]) => runCli(args, { env: env() });
async function json(...args: readonly string[]) {
  const { status, stdout } = await run(...args, '--json');
  return { status, body: JSON.parse(stdout) as Record<string, unknown> };
}
const failure = async (...args: readonly string[]) => {
  const { status, body } = await json(...args);
  return [status, (body.error as { code: string }).code];
};
const keyFile = (name: string) => `${temp.path}/share/vantage6/node/privkey_${name}.pem`;

beforeAll(async () => {
  temp = await tempFolder();
  server = await startRealServer();
  const login = { serverUrl: server.url, username: 'root', password: server.password };
  const session = new UserSession(await logIn(login));
  root = createUserClient(session);
  north = (await server.admin.createOrganization('North')).id;
  south = (await server.admin.createOrganization('South')).id;
  const organizations = [north, south];
  collaboration = (
    await server.admin.createCollaboration({ name: 'secret', organizations, encrypted: true })
  ).id;
  const { username } = await server.researcherOf(north);
  await writeFile(path.join(temp.path, 'password'), `${server.password}\n`);
  const flags = ['login', '--server', server.url, '--password-file', `${temp.path}/password`];
  for (const [name, user] of [
    ['researcher', username],
    ['root', 'root'],
  ] as const)
    expect(await run(...flags, '--username', user, '--login', name)).toMatchObject({ status: 0 });
});
afterAll(async () => {
  life.abort(new Error('the test has ended'));
  await server?.[Symbol.asyncDispose]();
  await temp?.remove();
});

describe('v6 node create-private-key', () => {
  it('makes a key of an organization and registers it; a second time it changes nothing', async () => {
    const first = await json('node', 'create-private-key', '-o', 'North');
    expect(first).toMatchObject({
      status: 0,
      body: { organization: 'North', file: keyFile('North'), created: true, registered: true },
    });
    expect((await stat(keyFile('North'))).mode & 0o777).toBe(0o600);
    const { publicKey } = await readPrivateKeyFile(keyFile('North'));
    expect(first.body.fingerprint).toBe(publicKey.fingerprint);
    expect((await root.organizations.get(north)).publicKey).toBe(publicKey.wire);
    const again = await json('node', 'create-private-key', '-o', 'North');
    expect(again).toMatchObject({ status: 0, body: { created: false, backup: null } });
    expect((await readPrivateKeyFile(keyFile('North'))).publicKey).toMatchObject({
      fingerprint: publicKey.fingerprint,
    });
  });

  it('replaces no other key at the server unasked', async () => {
    await root.organizations.registerKey(south, publicKeyOf('other'));
    const make = ['node', 'create-private-key', '-o', 'South'];
    expect(await failure(...make)).toEqual([78, 'V6_ENCRYPTION_OWN_KEY']);
    await expect(stat(keyFile('South'))).rejects.toMatchObject({ code: 'ENOENT' });
    expect((await root.organizations.get(south)).publicKey).toBe(publicKeyOf('other'));
    expect(await json(...make, '--replace-registered')).toMatchObject({ body: { created: true } });
    const rotated = await json(...make, '--overwrite');
    expect(rotated).toMatchObject({ status: 0, body: { created: true, registered: true } });
    const old = await readPrivateKeyFile(String(rotated.body.backup));
    const own = await readPrivateKeyFile(keyFile('South'));
    expect(old.publicKey.fingerprint).not.toBe(own.publicKey.fingerprint);
    expect((await root.organizations.get(south)).publicKey).toBe(own.publicKey.wire);
  });

  it('works without a server, into any folder, and says what is missing', async () => {
    const flags = ['node', 'create-private-key', '--no-upload'];
    expect(await failure(...flags)).toEqual([2, 'V6_USAGE_MISSING_ANSWER']);
    await mkdir(`${temp.path}/out`);
    const made = await run(...flags, '-o', 'Else/where', '--output-dir', `${temp.path}/out`);
    expect(made).toMatchObject({ status: 0 });
    expect(made.stdout).toContain('Nothing was sent to a server.');
    expect(made.stdout + made.stderr).not.toContain('BEGIN');
    await readPrivateKeyFile(`${temp.path}/out/privkey_Else_where.pem`);
    expect(await failure('node', 'create-private-key', '-o', 'Nowhere')).toEqual([
      2,
      'V6_REQUEST_NOT_FOUND',
    ]);
  });
});

describe('v6 vpn test in an encrypted collaboration', () => {
  beforeAll(async () => {
    for (const [name, organization, address] of [
      ['North', north, '10.99.0.1'],
      ['South', south, '10.99.0.2'],
    ] as const) {
      const node = { name, organization, collaboration };
      const { apiKey } = await server.admin.createNode(node);
      const privateKey = await readPrivateKeyFile(keyFile(name));
      await joinAsNode(server, { apiKey, address, privateKey, signal: life.signal });
    }
  });
  const test = (...more: readonly string[]) => ['vpn', 'test', '--login', 'researcher', ...more];

  it('needs the private key of the organization, by flag or with the login', async () => {
    expect(await failure(...test())).toEqual([78, 'V6_TEST_ENCRYPTED']);
    await writeFile(`${temp.path}/wrong.pem`, keyPair('wrong').pem, { mode: 0o600 });
    expect(await failure(...test('--private-key', `${temp.path}/wrong.pem`))).toEqual([
      78,
      'V6_ENCRYPTION_OWN_KEY',
    ]);
    const flags = ['--private-key', keyFile('North')];
    const passed = await json(...test(...flags));
    expect(passed).toMatchObject({
      status: 0,
      body: { ok: true, summary: { pairs: 8, passed: 8 } },
    });
    const results = await root.listResults(Number(passed.body.task));
    expect(results.map(({ result }) => result?.split('$').length)).toEqual([3, 3]);
    const login = ['login', '--login', 'researcher', '--password-file', `${temp.path}/password`];
    expect(await run(...login, ...flags)).toMatchObject({ status: 0 });
    expect(await json(...test())).toMatchObject({ status: 0, body: { ok: true } });
    const logins = await readFile(`${temp.path}/config/v6/logins.json`, 'utf8');
    expect(logins).toContain(keyFile('North'));
    expect(logins).not.toContain('PRIVATE');
  });

  it('refuses a key that the server swapped, until it is trusted', async () => {
    const { publicKey } = await readPrivateKeyFile(keyFile('South'));
    await root.organizations.registerKey(south, publicKeyOf('thief'));
    expect(await failure(...test())).toEqual([78, 'V6_ENCRYPTION_KEY_CHANGED']);
    const list = ['keys', 'list', '--login', 'researcher'];
    expect((await json(...list)).body).toMatchObject({
      organizations: [
        {
          organization: south,
          name: 'South',
          fingerprint: publicKey.fingerprint,
          origin: 'first use',
          refused: { fingerprint: fingerprintOf('thief') },
        },
      ],
    });
    expect((await run(...list)).stdout).toContain(`Refused for organization ${south}`);
    const trust = ['keys', 'trust', String(south), '--login', 'researcher'];
    expect(await failure(...trust)).toEqual([2, 'V6_USAGE_MISSING_ANSWER']);
    expect((await json(...trust, '--yes')).body).toEqual({
      organization: south,
      fingerprint: fingerprintOf('thief'),
    });
    await root.organizations.registerKey(south, publicKey.wire);
    expect(await failure(...test())).toEqual([78, 'V6_ENCRYPTION_KEY_CHANGED']);
    const forget = ['keys', 'forget', String(south), '--login', 'researcher', '--yes'];
    expect((await json(...forget)).body).toEqual({ organization: south, forgotten: true });
    expect(await json(...test())).toMatchObject({ status: 0, body: { ok: true } });
  });
});

describe('v6 node keys', () => {
  it('lists, trusts and forgets keys of a node, beside a daemon or without', async () => {
    const given = fingerprintOf('given');
    const lines = [
      'api_key: c4nary-api-key',
      'server_url: http://localhost',
      'port: 7601',
      'api_path: /api',
      `encryption: {enabled: true, private_key: ${keyFile('North')}, pinned_keys: {9: ${given}}}`,
    ];
    const file = `${temp.path}/alpha.yaml`;
    await writeFile(file, `${lines.join('\n')}\n`);
    const keys = (...more: readonly string[]) => ['node', 'keys', ...more, '--config', file];
    const { publicKey } = await readPrivateKeyFile(keyFile('North'));
    const pins = createPinFiles(
      `${temp.path}/share/vantage6/node/alpha/organization-keys`,
      'http://localhost:7601/api',
    );
    const at = new Date('2030-01-01T00:00:00Z');
    await pins.noteRefused({ organization: 3, name: 'E', fingerprint: given, at });
    expect((await json(...keys('list'))).body).toMatchObject({
      own: { file: keyFile('North'), fingerprint: publicKey.fingerprint },
      organizations: [
        { organization: 3, fingerprint: null, refused: { fingerprint: given } },
        { organization: 9, fingerprint: given, origin: 'configuration' },
      ],
    });
    expect(await json(...keys('trust', '3', '--yes'))).toMatchObject({ status: 0 });
    expect(await pins.find(3)).toMatchObject({ fingerprint: given, origin: 'trusted' });
    expect(await failure(...keys('trust', '9', '--yes'))).toEqual([2, 'V6_USAGE']);
    expect((await json(...keys('forget', '3', '--yes'))).body).toMatchObject({ forgotten: true });
    expect((await run(...keys('list'))).stdout).toContain(`Own key: ${publicKey.fingerprint}`);
    expect(await failure(...keys('trust', '3', '--yes'))).toEqual([2, 'V6_USAGE']);
  });

  it('v6 node start ends with 78 for a private key that is missing or open to others', async () => {
    const file = `${temp.path}/beta.yaml`;
    const config = (key: string) =>
      writeFile(
        file,
        `api_key: k\nserver_url: http://localhost\nport: 7601\napi_path: /api\nencryption: {enabled: true, private_key: ${key}}\n`,
      );
    await config('absent.pem');
    const start = ['node', 'start', '--config', file];
    expect(await failure(...start)).toEqual([78, 'V6_ENCRYPTION_KEY_FILE']);
    await writeFile(`${temp.path}/open.pem`, keyPair('open').pem, { mode: 0o644 });
    await config(`${temp.path}/open.pem`);
    const { stderr } = await run(...start);
    expect(stderr).toContain(`chmod 600 ${temp.path}/open.pem`);
  });
});
