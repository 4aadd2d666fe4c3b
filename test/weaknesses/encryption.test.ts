import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createHttpCoordinator } from '../../src/adapters/http/node-coordinator.ts';
import { NodeSession } from '../../src/adapters/http/node-session.ts';
import { systemClock } from '../../src/core/clock.ts';
import { KeyRing } from '../../src/core/crypto/key-ring.ts';
import { encryptMessage } from '../../src/core/crypto/message.ts';
import { silentLogger } from '../../src/core/logger.ts';
import type { Task } from '../../src/core/protocol/entities.ts';
import { hashToken, SlotProxy } from '../../src/node/proxy/slot-proxy.ts';
import { isInitiatorAllowed } from '../../src/node/runs/initiator.ts';
import { FakeCoordinator, tokenFor } from '../fakes/coordinator.ts';
import { keyPair, publicKeyOf } from '../fakes/key-pairs.ts';
import { ManualClock } from '../fakes/manual-clock.ts';
import { NodeWorld, nodeConfig } from '../fakes/node-world.ts';
import { FakePins } from '../fakes/pins.ts';
import { TestCoordination } from '../support/coordination.ts';

/** Upstream's weaknesses in encryption, policies and logs, each by the words that it was noted down with. */

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'v6-weak-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function createRing(coordinator: FakeCoordinator): KeyRing {
  return new KeyRing({
    own: 2,
    organizations: coordinator.organizations,
    privateKey: keyPair('own').key,
    pins: new FakePins(),
    rules: { pinned: new Map(), trustOnFirstUse: true, trustCommand: 'v6 node keys trust' },
    clock: new ManualClock(),
    logger: silentLogger,
  });
}

/** What an algorithm gets for `GET target` when the server answers with `body`. */
async function throughProxy(target: string, body: unknown) {
  const answer = JSON.stringify(body);
  const proxy = new SlotProxy(
    {
      forward: async () => ({
        status: 200,
        contentType: 'application/json',
        body: (async function* () {
          yield Buffer.from(answer);
        })(),
      }),
    },
    silentLogger,
    { folder: path.join(folder, 'proxy') },
  );
  proxy.usePayloads(createRing(new FakeCoordinator()));
  await proxy.open(0);
  proxy.assign(0, { run: 41, task: 17, tokenHash: hashToken(tokenFor(17)) });
  try {
    return await new Promise<{ status: number; text: string }>((resolve, reject) => {
      const headers = { authorization: `Bearer ${tokenFor(17)}` };
      const outgoing = request(
        { socketPath: proxy.socketOf(0), path: target, headers },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
          incoming.on('end', () =>
            resolve({
              status: incoming.statusCode ?? 0,
              text: Buffer.concat(chunks).toString(),
            }),
          );
        },
      );
      outgoing.on('error', reject).end();
    });
  } finally {
    await proxy.closeAll();
  }
}

const sealed = (text: string, name: string) =>
  encryptMessage(Buffer.from(text), keyPair(name).key.publicKey.key);

describe('Decryption errors are logged and the undecrypted text is returned as if it were the result', () => {
  it.each(['/result?task_id=5', '/result/9', '/task/5/result'])(
    '%s: the algorithm gets an error with a code, and nothing of the text',
    async (target) => {
      const text = sealed('{"a":1}', 'somebody else');
      const { status, text: got } = await throughProxy(target, { data: [{ id: 9, result: text }] });
      expect(status).toBe(502);
      expect(JSON.parse(got)).toMatchObject({ code: 'V6_ENCRYPTION_UNREADABLE' });
      expect(got).not.toContain(text.slice(0, 40));
    },
  );

  it('a run whose input cannot be decrypted fails, and its algorithm is never started', async () => {
    const world = await new NodeWorld({ payloads: createRing(new FakeCoordinator()) }).ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    run.input = sealed('{}', 'somebody else');
    await world.sync();
    expect(run).toMatchObject({ status: 'failed', result: null });
    expect(run.log).toContain('V6_ENCRYPTION_UNREADABLE');
    expect(world.files.inputs.size).toBe(0);
  });
});

it('GET /result/<id> through the Python proxy always fails with 500: ours decrypts it', async () => {
  const { status, text } = await throughProxy('/result/9', { id: 9, result: sealed('[7]', 'own') });
  expect(status).toBe(200);
  const { result } = JSON.parse(text) as { result: string };
  expect(Buffer.from(result, 'base64').toString()).toBe('[7]');
});

describe('Public keys come from the server without any pinning: a hostile server can read everything by swapping keys', () => {
  it('a swapped key is refused, and nothing is encrypted with it', async () => {
    const coordinator = new FakeCoordinator();
    const ring = createRing(coordinator);
    coordinator.setKey(5, publicKeyOf('five'), 'Five');
    await ring.seal(Buffer.from('{}'), 5);
    coordinator.setKey(5, publicKeyOf('thief'));
    await expect(ring.seal(Buffer.from('{}'), 5)).rejects.toMatchObject({
      code: 'V6_ENCRYPTION_KEY_CHANGED',
    });
    expect(ring.status().refused).toMatchObject([{ organization: 5 }]);
  });
});

describe('Any node of an organization can replace its public key', () => {
  it('our node never does: it registers a first key, and stops where there is another', async () => {
    const coordinator = new FakeCoordinator();
    coordinator.setKey(2, '', 'North');
    await createRing(coordinator).register();
    expect(coordinator.known.get(2)?.publicKey).toBe(publicKeyOf('own'));
    coordinator.setKey(2, publicKeyOf('other'));
    await expect(createRing(coordinator).register()).rejects.toMatchObject({
      code: 'V6_ENCRYPTION_OWN_KEY',
    });
    expect(coordinator.known.get(2)?.publicKey).toBe(publicKeyOf('other'));
  });

  it('our server refuses it to nodes', async () => {
    const world = await TestCoordination.start(path.join(folder, 'server'));
    try {
      const [node] = await world.createNodes(['north'], true);
      if (node === undefined) throw new Error('no node');
      const { apiKey, organization } = node;
      const session = new NodeSession({
        serverUrl: 'http://127.0.0.1',
        port: world.port,
        apiPath: '/api',
        apiKey,
        clock: systemClock,
      });
      const { organizations } = createHttpCoordinator(session);
      await organizations.registerKey(organization, publicKeyOf('own'));
      await expect(
        organizations.registerKey(organization, publicKeyOf('other')),
      ).rejects.toMatchObject({ code: 'V6_SERVER_REFUSED', details: { status: 403 } });
      expect((await organizations.get(organization)).publicKey).toBe(publicKeyOf('own'));
    } finally {
      await world.server.stop();
    }
  });
});

describe('AES-CTR without authentication and PKCS#1 v1.5: a tampered input is not noticed', () => {
  const text = sealed('{"limit": 100}', 'own');
  const [wrapped = '', counter = '', content = ''] = text.split('$');
  const ring = createRing(new FakeCoordinator());
  const flipped = (part: string, at: number) => {
    const bytes = Buffer.from(part, 'base64');
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    return bytes.toString('base64');
  };

  it('a changed key block and a wrong private key are noticed, always, with one error', () => {
    for (const at of [0, 1, 2, 100, 222, 223, 224, 255])
      expect(() => ring.open(`${flipped(wrapped, at)}$${counter}$${content}`, 'it')).toThrow(
        expect.objectContaining({ code: 'V6_ENCRYPTION_UNREADABLE' }),
      );
    for (let i = 0; i < 200; i += 1)
      expect(() => ring.open(sealed(String(i % 10), 'wrong'), 'it')).toThrow(
        expect.objectContaining({ code: 'V6_ENCRYPTION_UNREADABLE' }),
      );
  });

  it('changed content is not, because the form of 4.x has no tag: as docs/encryption.md says', () => {
    const changed = Buffer.from(ring.open(`${wrapped}$${counter}$${flipped(content, 10)}`, 'it'));
    expect(changed.toString()).toBe('{"limit": 000}');
  });
});

describe('A node with an organization policy by name iterates over the pagination object and fails', () => {
  it('names are compared with all pages of the organizations, and numbers match as well', async () => {
    const world = await TestCoordination.start(path.join(folder, 'server'));
    try {
      const [node] = await world.createNodes(['hospital 0']);
      const ids = new Map([[0, node?.organization ?? 0]]);
      for (let at = 1; at < 120; at += 1) {
        const { id } = await world.ask('POST', '/organization', { name: `hospital ${at}` });
        ids.set(at, Number(id));
        await world.ask('POST', `/collaboration/${world.collaboration}/organization`, { id });
      }
      const session = new NodeSession({
        serverUrl: 'http://127.0.0.1',
        port: world.port,
        apiPath: '/api',
        apiKey: node?.apiKey ?? '',
        clock: systemClock,
      });
      const { organizations } = createHttpCoordinator(session);
      const isAllowed = (allowed: string, initiator: number) =>
        isInitiatorAllowed(
          {
            config: {
              policies: { ...nodeConfig().policies, allowedOrganizations: [allowed] },
            },
            identity: { collaboration: world.collaboration },
            organizations,
          },
          { init_user: { id: 1 }, init_org: { id: initiator } } as unknown as Task,
          new AbortController().signal,
        );
      for (const at of [0, 60, 119]) {
        const organization = ids.get(at) ?? 0;
        expect(await isAllowed(`hospital ${at}`, organization)).toBe(true);
        expect(await isAllowed(String(organization), organization)).toBe(true);
        expect(await isAllowed('hospital 1', organization)).toBe(false);
      }
    } finally {
      await world.server.stop();
    }
  });
});

it('`status: active` PATCH wipes log lines already streamed: ours comes before the first line', async () => {
  const world = await new NodeWorld({
    engine: { program: () => ({ output: 'early line\n' }) },
  }).ready();
  const run = world.coordinator.add({ image: 'echo:1' });
  await world.sync();
  expect(run.status).toBe('active');
  await world.clock.turn(500);
  await world.settle();
  expect(run.log).toBe('early line');
  expect(world.coordinator.journal.filter((call) => call.startsWith('patch'))).toHaveLength(2);
});

it("A log line sent while the socket is down ends that run's log stream: ours goes on", async () => {
  const world = await new NodeWorld({
    engine: { program: () => ({ output: 'first\nsecond\n' }) },
  }).ready();
  world.coordinator.isConnected = false;
  const run = world.coordinator.add({ image: 'echo:1' });
  await world.sync();
  await world.clock.turn(500);
  await world.settle();
  expect(run.log).toBeNull();
  world.coordinator.isConnected = true;
  world.coordinator.connection += 1;
  await world.clock.turn(500);
  await world.settle();
  expect(run.log).toBe('first\nsecond');
});
