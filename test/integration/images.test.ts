import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectEngine } from '../../src/adapters/docker/engine.ts';
import type { Engine, ImageState } from '../../src/core/engine/engine.ts';
import { V6_VERSION } from '../../src/core/labels.ts';
import type { BuiltImage } from '../../src/images/build.ts';
import { composeImages } from '../../src/images/compose.ts';
import { imageReferences } from '../../src/images/references.ts';

const root = path.join(import.meta.dirname, '../..');
const labels = { 'v6.test': 'images' };
const run = promisify(execFile);

let engine: Engine;
let built: readonly BuiltImage[];

const referenceOf = (kind: BuiltImage['kind']): string => {
  const image = built.find((one) => one.kind === kind);
  if (image === undefined) throw new Error(`No image ${kind}`);
  return image.reference;
};

async function stateOf(kind: BuiltImage['kind']): Promise<ImageState> {
  const images = await engine.images.list({ 'v6.image': kind });
  const reference = referenceOf(kind);
  const image = images.find(({ tags }) => tags.includes(reference));
  if (image === undefined) throw new Error(`No image ${kind}`);
  return image;
}

async function removeContainers(): Promise<void> {
  for (const { id } of await engine.containers.list(labels)) await engine.containers.remove(id);
}

/** Runs one program in a new container without a network; what it printed and how it ended. */
async function runIn(
  image: string,
  command: readonly string[],
  capabilities: readonly string[] = [],
): Promise<{ exitCode: number; output: string }> {
  const [program = '', ...rest] = command;
  const id = await engine.containers.create({
    name: `v6-test-images-${Math.random().toString(36).slice(2, 10)}`,
    image,
    labels,
    ...(program === '' ? {} : { entrypoint: [program] }),
    command: rest,
    capabilities,
    networkMode: 'none',
  });
  await engine.containers.start(id);
  const exitCode = await engine.containers.wait(id, AbortSignal.timeout(30_000));
  const output = await engine.containers.logs(id);
  await engine.containers.remove(id);
  return { exitCode, output };
}

beforeAll(async () => {
  engine = await connectEngine();
  await removeContainers();
  built = await (await composeImages(root, engine)).build();
});
afterAll(removeContainers);

describe('images', () => {
  it('change nothing when they are built a second time', async () => {
    const side = await composeImages(root, engine);
    const startedAt = performance.now();
    const again = await side.build();
    expect(performance.now() - startedAt).toBeLessThan(5000);
    expect(again.map(({ state }) => state)).toEqual(['present', 'present', 'present']);
    expect(again.map(({ id }) => id)).toEqual(built.map(({ id }) => id));
  });

  it('carry the version, their kind and their content, and are listed as current', async () => {
    for (const kind of ['vpn', 'runtime', 'echo'] as const) {
      const { labels: found } = await stateOf(kind);
      expect(found).toMatchObject({ v6: V6_VERSION, 'v6.image': kind });
      expect(found['v6.content']).toMatch(/^[0-9a-f]{12}$/);
    }
    const listed = await (await composeImages(root, engine)).list();
    const current = listed.filter(({ isCurrent }) => isCurrent).map(({ kind }) => kind);
    expect(current.toSorted()).toEqual(['echo', 'runtime', 'runtime-base', 'vpn', 'vpn-base']);
  });

  it('have the names that other parts of v6 compute without asking the engine', () => {
    expect({ ...imageReferences(root) }).toEqual({
      vpn: referenceOf('vpn'),
      runtime: referenceOf('runtime'),
      echo: referenceOf('echo'),
    });
  });
});

describe('the image of the VPN client', () => {
  it.each([
    [['openvpn', '--version'], /OpenVPN 2\./],
    [['nft', '--version'], /nftables v/],
    [['iptables', '--version'], /nf_tables/],
    [['iptables-legacy', '--version'], /legacy/],
    [['ip', '-V'], /iproute2/],
    [['ip', '-json', 'address'], /"ifname":"lo"/],
    [['conntrack', '--version'], /conntrack-tools/],
    [['socat', '-V'], /socat version/],
    [['tini', '--version'], /tini version/],
    [['ping', '-c', '1', '-W', '2', '127.0.0.1'], /1 received/],
  ])('has a working %j', async (command, expected) => {
    const { output, exitCode } = await runIn(referenceOf('vpn'), command, ['NET_RAW']);
    expect(output).toMatch(expected);
    // OpenVPN prints its version with status 1 on some releases.
    if (command[0] !== 'openvpn') expect(exitCode).toBe(0);
  });

  it('applies an nft rule set with protocol names, a map and connection tracking', async () => {
    const rules = [
      'table inet t {',
      'map m { type inet_proto . inet_service : ipv4_addr . inet_service',
      'elements = { tcp . 50000 : 10.0.0.2 . 8888 }',
      '}',
      'chain c { type filter hook forward priority 0; policy drop',
      'ct state established accept',
      'tcp dport 80 counter accept comment "x"',
      '}',
      '}',
    ].join('\n');
    const script = `nft '${rules}' && nft list ruleset && conntrack -L`;
    const { exitCode, output } = await runIn(
      referenceOf('vpn'),
      ['sh', '-c', script],
      ['NET_ADMIN'],
    );
    expect(exitCode, output).toBe(0);
    expect(output).toContain('tcp . 50000 : 10.0.0.2 . 8888');
    expect(output).toContain('0 flow entries');
  });

  it('has dash as its shell, so that a script finds the programs on the path and no applets', async () => {
    const { output } = await runIn(referenceOf('vpn'), [
      'sh',
      '-c',
      'readlink -f /bin/sh; command -v ip; ip -V',
    ]);
    expect(output).toMatch(/^\/usr\/bin\/dash\n\/usr\/bin\/ip\n.*iproute2/);
  });

  it('is small and holds no Node', async () => {
    expect((await stateOf('vpn')).sizeBytes).toBeLessThan(30e6);
    const { exitCode } = await runIn(referenceOf('vpn'), ['sh', '-c', 'command -v node']);
    expect(exitCode).not.toBe(0);
  });
});

describe('the runtime image', () => {
  it('answers --version without node_modules', async () => {
    const { exitCode, output } = await runIn(referenceOf('runtime'), ['']);
    expect(output).toContain('USAGE');
    expect(exitCode).toBe(0);
    const node = '/usr/local/bin/node';
    const version = await runIn(referenceOf('runtime'), [node, '/app/bin/run.js', '--version']);
    expect(version.output).toMatch(new RegExp(`^v6/${V6_VERSION} linux-\\S+ node-v24\\.`));
    const modules = await runIn(referenceOf('runtime'), ['ls', '/app/node_modules']);
    expect(modules.exitCode).not.toBe(0);
  });

  it('knows the images that belong to it', async () => {
    const { output } = await runIn(referenceOf('runtime'), ['cat', '/app/images.json']);
    expect(JSON.parse(output)).toEqual({ ...imageReferences(root) });
  });

  it('has the certificates of Debian and an SQLite', async () => {
    const script =
      "const {rootCertificates:a}=require('tls'); const n=require('fs').readFileSync('/etc/ssl/certs/ca-certificates.crt','utf8').split('BEGIN CERTIFICATE').length; new (require('node:sqlite').DatabaseSync)(':memory:').exec('select 1'); console.log(n > 100)";
    const { output } = await runIn(referenceOf('runtime'), ['node', '-e', script]);
    expect(output.trim()).toBe('true');
  });
});

describe('the echo image', () => {
  it('adds less than 2 MB to the base of the runtime', async () => {
    // The base of these sources: an engine may have those of earlier ones as well.
    const listed = await (await composeImages(root, engine)).list();
    const base = listed.find(({ kind, isCurrent }) => kind === 'runtime-base' && isCurrent);
    const added = (await stateOf('echo')).sizeBytes - (base?.sizeBytes ?? 0);
    expect(added).toBeGreaterThan(0);
    expect(added).toBeLessThan(2e6);
  });

  it('declares its ports and their labels', async () => {
    const echo = await stateOf('echo');
    expect(echo.exposedPorts.toSorted()).toEqual(['8888/tcp', '8889/udp']);
    expect(echo.labels).toMatchObject({ p8888: 'echo-tcp', p8889: 'echo-udp' });
  });
});

describe('the recipe of the base', () => {
  const script = path.join(root, 'scripts/base-image.mjs');
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(path.join(os.tmpdir(), 'v6-recipe-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('names the package to install when its tool is missing, and leaves nothing', async () => {
    symlinkSync('/usr/bin/apt-get', path.join(folder, 'apt-get'));
    const out = path.join(folder, 'out');
    const started = run(process.execPath, [script, '--out', out], { env: { PATH: folder } });
    await expect(started).rejects.toMatchObject({
      code: 69,
      stderr: expect.stringContaining('apt-get install -y --no-install-recommends mmdebstrap'),
    });
    const { stdout } = await run('ls', ['-A', folder]);
    expect(stdout.trim()).toBe('apt-get');
  });

  it('says so on a system without apt', async () => {
    const empty = path.join(folder, 'empty');
    const started = run(process.execPath, [script, '--out', path.join(folder, 'out')], {
      env: { PATH: empty },
    });
    await expect(started).rejects.toMatchObject({ code: 78 });
  });
});
