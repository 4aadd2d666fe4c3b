import fc from 'fast-check';
import { io, type Socket } from 'socket.io-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nasty } from '../support/fuzz/values.ts';
import { exchangeBytes, listenOnLoopback, rawAnswers } from '../support/fuzz/wire.ts';
import { createTask, createWorld, runOf, type World } from '../support/server-app.ts';
import { until } from '../support/wait.ts';

const SEED = Number(process.env.V6_FUZZ_SEED ?? 20_260_504);
const report = { seed: SEED, endOnFailure: false } as const;

let world: World;
let port: number;
let lines: readonly string[];
let close: () => Promise<void>;
const rejections: unknown[] = [];
const onRejection = (reason: unknown): void => {
  rejections.push(reason);
};

beforeAll(async () => {
  process.on('unhandledRejection', onRejection);
  world = await createWorld();
  ({ port, lines, close } = await listenOnLoopback(world));
});
afterAll(async () => {
  process.off('unhandledRejection', onRejection);
  await close();
  await world.close();
});

async function isAlive(): Promise<void> {
  const { status } = await fetch(`http://127.0.0.1:${port}/api/health`, {
    headers: { connection: 'close' },
    signal: AbortSignal.timeout(5000),
  });
  expect(status).toBe(200);
}

/** Why what came back is not fit for a caller; undefined when it is. Engine.IO's errors have a form of their own. */
function faultIn(text: string): string | undefined {
  for (const { status, body } of rawAnswers(text)) {
    if (status === 0 || status >= 500) return `${status} ${body}`;
    if (status < 400) continue;
    const parsed = JSON.parse(body) as { msg?: unknown; code?: unknown; message?: unknown };
    const isOurs = typeof parsed.msg === 'string' && typeof parsed.code === 'string';
    const isEngines = typeof parsed.message === 'string' && typeof parsed.code === 'number';
    if (!isOurs && !isEngines) return `${status} ${body}`;
  }
  return undefined;
}

const HOST = 'Host: x\r\nConnection: close\r\n';
const WEBSOCKET = 'Connection: Upgrade\r\nUpgrade: websocket\r\n';
const TRANSPORT = '/socket.io/?EIO=4&transport=websocket';

const RAW: Readonly<Record<string, string>> = {
  'half a line': 'GET\r\n\r\n',
  'an unknown version': `GET /api/version HTTP/9.9\r\n${HOST}\r\n`,
  'an unknown method': `FOO /api/version HTTP/1.1\r\n${HOST}\r\n`,
  'a TLS hello': '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003',
  'HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'no host': 'GET /api/version HTTP/1.1\r\nConnection: close\r\n\r\n',
  'a large header': `GET /api/version HTTP/1.1\r\n${HOST}X-A: ${'a'.repeat(40_000)}\r\n\r\n`,
  'many headers': `GET /api/version HTTP/1.1\r\n${HOST}${'X-A: 1\r\n'.repeat(6000)}\r\n`,
  'a long path': `GET /api/${'a'.repeat(60_000)} HTTP/1.1\r\n${HOST}\r\n`,
  'a header without colon': `GET /api/version HTTP/1.1\r\n${HOST}nonsense\r\n\r\n`,
  'NUL in a header': `GET /api/version HTTP/1.1\r\n${HOST}X-A: \0\r\n\r\n`,
  'a folded header': `GET /api/version HTTP/1.1\r\n${HOST}X-A: 1\r\n 2\r\n\r\n`,
  'two lengths': `POST /api/token/user HTTP/1.1\r\n${HOST}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`,
  'length and chunks': `POST /api/token/user HTTP/1.1\r\n${HOST}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  'a negative length': `POST /api/token/user HTTP/1.1\r\n${HOST}Content-Length: -2\r\n\r\n{}`,
  'a huge length': `POST /api/token/user HTTP/1.1\r\n${HOST}Content-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{}`,
  'a bad chunk': `POST /api/token/user HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n`,
  'a huge chunk extension': `POST /api/token/user HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n2;${'a'.repeat(30_000)}\r\n{}\r\n0\r\n\r\n`,
  'an unknown encoding of transfer': `POST /api/token/user HTTP/1.1\r\n${HOST}Transfer-Encoding: gzip\r\n\r\n{}`,
  'a body in UTF-16': `POST /api/token/user HTTP/1.1\r\n${HOST}Content-Type: application/json\r\nContent-Length: 6\r\n\r\n\u00ff\u00fe{\0}\0`,
  'an expectation': `POST /api/token/user HTTP/1.1\r\n${HOST}Expect: 200-maybe\r\nContent-Length: 2\r\n\r\n{}`,
  'an absolute address': `GET http://evil.example/api/version HTTP/1.1\r\n${HOST}\r\n`,
  'an asterisk': `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`,
  'a tunnel': `CONNECT evil.example:443 HTTP/1.1\r\n${HOST}\r\n`,
  'a trace': `TRACE /api/version HTTP/1.1\r\n${HOST}\r\n`,
  'a websocket elsewhere': `GET /api/version HTTP/1.1\r\nHost: x\r\n${WEBSOCKET}\r\n`,
  'a websocket without key': `GET ${TRANSPORT} HTTP/1.1\r\nHost: x\r\n${WEBSOCKET}\r\n`,
  'a websocket with a short key': `GET ${TRANSPORT} HTTP/1.1\r\nHost: x\r\n${WEBSOCKET}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n`,
  'a websocket of another version': `GET ${TRANSPORT} HTTP/1.1\r\nHost: x\r\n${WEBSOCKET}Sec-WebSocket-Version: 99\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
  'garbage on a websocket': `GET ${TRANSPORT} HTTP/1.1\r\nHost: x\r\n${WEBSOCKET}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\u00ff\u00ff\u00ff\u00ff`,
  'another protocol of Engine.IO': `GET /socket.io/?EIO=3&transport=polling HTTP/1.1\r\n${HOST}\r\n`,
  'an unknown transport': `GET /socket.io/?EIO=4&transport=pigeon HTTP/1.1\r\n${HOST}\r\n`,
  'an unknown session': `POST /socket.io/?EIO=4&transport=polling&sid=../../x HTTP/1.1\r\n${HOST}Content-Length: 2\r\n\r\n40`,
  'a session without handshake': `POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n${HOST}Content-Length: 2\r\n\r\n40`,
};

describe('bytes on a real connection', () => {
  it.each(Object.entries(RAW))('%s is refused with JSON, or cut', async (_name, bytes) => {
    const text = await exchangeBytes(port, bytes);
    expect(faultIn(text)).toBeUndefined();
    await isAlive();
  });

  it('are answered below 500, or cut, when a good request is damaged anywhere', async () => {
    const body = '{"username":"nora","password":"wrong"}';
    const good = Buffer.from(
      `POST /api/token/user?a=%20 HTTP/1.1\r\n${HOST}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    const damage = fc.record({
      at: fc.nat(good.length - 1),
      length: fc.nat(6),
      bytes: fc.uint8Array({ maxLength: 12 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 3 }), async (damages) => {
        let bytes = good;
        for (const { at, length, bytes: put } of damages)
          bytes = Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + length)]);
        const text = await exchangeBytes(port, bytes, 60);
        // A damaged length leaves the end of the body as the start of another request.
        expect(faultIn(text)).toBeUndefined();
      }),
      { ...report, numRuns: 250, interruptAfterTimeLimit: 10_000 },
    );
    await isAlive();
  }, 30_000);
});

const connectAs = async (token: string): Promise<Socket> => {
  const socket = io(`http://127.0.0.1:${port}/tasks`, {
    transports: ['websocket'],
    extraHeaders: { authorization: `Bearer ${token}` },
    forceNew: true,
    reconnection: false,
  });
  await until('the connection of the socket', 5000, () => socket.connected);
  return socket;
};

interface EventAnswer {
  readonly status: number;
  readonly msg: string;
  readonly code?: string;
  readonly errors?: object;
}

describe('socket payloads', () => {
  it('that do not fit are refused with status, msg, code and field to who asks for an answer', async () => {
    const socket = await connectAs(world.northNode.token);
    const ask = (event: string, ...args: unknown[]): Promise<EventAnswer> =>
      socket.timeout(5000).emitWithAck(event, ...args) as Promise<EventAnswer>;
    const bad: [event: string, payload: unknown, field: string][] = [
      ['algorithm_status_change', undefined, '_schema'],
      ['algorithm_status_change', 'text', '_schema'],
      ['algorithm_status_change', { run_id: 1, status: 'flying' }, 'status'],
      ['algorithm_status_change', { run_id: 2 ** 31, status: 'active' }, 'run_id'],
      ['algorithm_status_change', { run_id: 999, status: 'active' }, 'run_id'],
      ['algorithm_log', { run_id: -1, log: 'x' }, 'run_id'],
      ['algorithm_log', { run_id: 1, log: { a: 1 } }, 'log'],
      ['algorithm_log', { run_id: 1, log: 'x'.repeat(300_000) }, 'log'],
      ['algorithm_log', Buffer.alloc(10), 'run_id'],
      ['node_info_update', [1], '_schema'],
      ['node_info_update', null, '_schema'],
    ];
    for (const [event, payload, field] of bad) {
      const answer = await ask(event, payload);
      expect([400, 404], `${event} ${field}`).toContain(answer.status);
      expect(answer).toMatchObject({ msg: expect.any(String), code: expect.any(String) });
      expect(answer.errors, `${event} ${field}`).toHaveProperty([field]);
    }
    expect(await ask('fly_away', 1)).toMatchObject({ status: 404, code: 'V6_REQUEST_NOT_FOUND' });
    expect(await ask('ping')).toMatchObject({ status: 200 });
    const user = await connectAs(world.nora.token);
    const refused = (await user
      .timeout(5000)
      .emitWithAck('algorithm_log', { run_id: 1, log: 'x' })) as EventAnswer;
    expect(refused.status).toBe(404);
    user.disconnect();
    socket.disconnect();
  });

  it('with NUL and half characters in a log are kept as text that every database takes', async () => {
    const task = await createTask(world, [world.north]);
    const run = await runOf(world, task, world.north);
    const socket = await connectAs(world.northNode.token);
    await socket.timeout(5000).emitWithAck('algorithm_log', { run_id: run, log: 'a\0b\ud800c' });
    expect((await world.store.runs.find(run))?.log).toBe('ab\ufffdc');
    socket.disconnect();
  });

  it('of any form leave the connection and the server as they were, within bounded memory', async () => {
    const socket = await connectAs(world.northNode.token);
    const event = fc.constantFrom(
      'ping',
      'algorithm_status_change',
      'algorithm_log',
      'node_info_update',
      'message',
      'error',
      'new_task',
      '__proto__',
      'constructor',
      '',
    );
    const attachment = fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes));
    const record = fc.record({ run_id: nasty, status: nasty, log: nasty }, { requiredKeys: [] });
    const info = fc.dictionary(fc.string({ unit: 'binary' }), fc.oneof(nasty, attachment));
    const payload = fc.oneof(
      nasty,
      record,
      info,
      attachment,
      fc.array(attachment, { maxLength: 3 }),
    );
    await fc.assert(
      fc.asyncProperty(event, fc.array(payload, { maxLength: 3 }), async (name, args) => {
        const answer = (await socket.timeout(5000).emitWithAck(name, ...args)) as EventAnswer;
        expect([200, 400, 404]).toContain(answer.status);
      }),
      { ...report, numRuns: 400, interruptAfterTimeLimit: 8000 },
    );
    const before = process.memoryUsage().rss;
    const wide = { list: Array.from({ length: 100_000 }, () => null) };
    const large = { binary: Buffer.alloc(900_000), text: 'x'.repeat(100_000) };
    for (let round = 0; round < 50; round += 1) {
      await socket.timeout(5000).emitWithAck('node_info_update', round % 2 === 0 ? wide : large);
    }
    expect((process.memoryUsage().rss - before) / 2 ** 20).toBeLessThan(300);
    expect(socket.connected).toBe(true);
    socket.disconnect();
    await isAlive();
  }, 30_000);

  it('that are no packets of Engine.IO or Socket.IO end that connection only', async () => {
    const witness = await connectAs(world.southNode.token);
    const packets = [
      '',
      '9',
      '4',
      '4/tasks',
      '42/tasks,',
      '42/tasks,["ping"',
      '42/tasks,{"a":1}',
      '42/tasks,["disconnect"]',
      '42/tasks,["connect_error",1]',
      '42/tasks,[{}]',
      '42/tasks,[null,1]',
      '43/tasks,1[]',
      '44/tasks,"x"',
      '45999999-/tasks,["message",{"_placeholder":true,"num":0}]',
      '451-/tasks,["message",{"_placeholder":true,"num":-1}]',
      '46/tasks,["x"]',
      '40/tasks,{"token":"x"}',
      '40/admin,',
      '40/__proto__,',
      `42/tasks,${'['.repeat(50_000)}`,
      `42/tasks,["node_info_update",${'['.repeat(50_000)}${']'.repeat(50_000)}]`,
    ];
    for (const packet of packets) {
      const socket = await connectAs(world.northNode.token);
      const { engine } = socket.io;
      // Below the client's own encoder.
      const { transport } = engine as unknown as {
        transport: { ws: { send(text: string): void } };
      };
      transport.ws.send(packet);
      // Answered, or never: the server may have cut the connection.
      await socket
        .timeout(200)
        .emitWithAck('ping')
        .catch(() => undefined);
      socket.disconnect();
    }
    await witness.timeout(5000).emitWithAck('ping');
    expect(witness.connected).toBe(true);
    witness.disconnect();
    await isAlive();
  }, 30_000);

  it('leave no unhandled rejection, and no bug in the log', () => {
    expect(rejections).toStrictEqual([]);
    expect(
      [...lines, ...world.lines].filter((line) => /bug|failed|could not/.test(line)),
    ).toStrictEqual([]);
  });
});
