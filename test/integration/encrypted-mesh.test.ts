import { readdir, readFile, stat } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readPrivateKeyFile } from '../../src/adapters/organization-keys/private-key-file.ts';
import { TestDemo } from '../support/demo.ts';

/** A mesh of real containers, tunnels and nodes whose server cannot read what it passes on. */
const demo = new TestDemo('crypt');

beforeAll(() => demo.open());
afterAll(() => demo.close());

it('v6 demo up --encrypted gives each organization a key, and v6 vpn test passes through it', async () => {
  const up = await demo.up(['--nodes', '2', '--encrypted']);
  expect(up.exitCode, up.stderr).toBe(0);
  const test = await demo.vpnTest();
  expect(test.exitCode, test.stderr).toBe(0);
  expect(test.json).toMatchObject({ ok: true, summary: { pairs: 8, passed: 8 } });
  const keys: string[] = [];
  for (const name of ['hospital-1', 'hospital-2']) {
    const file = `${demo.root}/node/${name}/data/private_key.pem`;
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    keys.push((await readPrivateKeyFile(file)).publicKey.fingerprint);
    const status = await demo.v6([
      'node',
      'status',
      '--scope',
      demo.scope,
      '--name',
      name,
      '--json',
    ]);
    expect(status.json).toMatchObject({
      encryption: { fingerprint: keys.at(-1), ownKey: 'registered', refused: [] },
    });
  }
  expect(new Set(keys).size).toBe(2);
});

it('the database of the server holds neither the inputs nor the reports', async () => {
  const names = await readdir(demo.root, { recursive: true });
  const files = names.filter((name) => /\/server\.sqlite(-wal)?$/.test(name));
  expect(files.length).toBeGreaterThan(0);
  const base64 = (text: string) => Buffer.from(text).toString('base64').slice(0, 20);
  for (const file of files) {
    const text = await readFile(`${demo.root}/${file}`, 'latin1');
    for (const plain of ['"probes"', '"rttMs"', base64('{"method":"echo","args":[]')])
      expect(text).not.toContain(plain);
  }
});

it('a demo that is there is not turned into another kind', async () => {
  const plain = await demo.up(['--nodes', '2']);
  expect(plain.exitCode, plain.stderr).toBe(0);
  const test = await demo.vpnTest();
  expect(test.json).toMatchObject({ ok: true });
});

it('v6 demo down takes keys and pins along', async () => {
  expect((await demo.down()).exitCode).toBe(0);
  const left = await readdir(demo.home, { recursive: true });
  expect(left.filter((name) => !['config', 'data', 'cache'].includes(name))).toEqual([]);
});
