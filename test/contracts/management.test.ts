import { createServer, type Server, type Socket } from 'node:net';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManagementSocket } from '../../src/adapters/openvpn/management.ts';
import type { Management, ManagementEvent } from '../../src/core/vpn/management.ts';
import { FakeManagement } from '../fakes/management.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { until } from '../support/wait.ts';

const STATE = '>STATE:1,CONNECTED,SUCCESS,10.202.0.11,192.0.2.1,1194,,';

/** Something that plays openvpn's part to one client. */
interface OpenVpn {
  readonly management: Management;
  start(): Promise<void>;
  say(line: string): void;
  end(): Promise<void>;
}

function inMemory(): OpenVpn {
  const management = new FakeManagement();
  return {
    management,
    start: async () => management.open(),
    say: (line) => management.say(line),
    end: async () => management.end(),
  };
}

/** The protocol on a unix socket, as OpenVPN 2.6 answers it. */
function onSocket(folder: string): OpenVpn {
  const file = path.join(folder, 'm.sock');
  let server: Server;
  const clients: Socket[] = [];
  const answers: Record<string, readonly string[]> = {
    'log on all': ['SUCCESS: real-time log notification set to ON', '1,I,an earlier line', 'END'],
    'state on all': ['SUCCESS: real-time state notification set to ON', '1,WAIT,,,,,,', 'END'],
    'bytecount 5': ['SUCCESS: bytecount interval changed'],
    pid: ['SUCCESS: pid=51'],
  };
  return {
    management: new ManagementSocket(file),
    start: async () => {
      server = createServer((socket) => {
        clients.push(socket);
        socket.write('>INFO:OpenVPN Management Interface Version 5\r\n');
        socket.on('error', () => undefined);
        socket.on('data', (data: Buffer) => {
          for (const command of data.toString().trim().split('\n'))
            for (const line of answers[command] ?? ['ERROR: unknown command'])
              socket.write(`${line}\r\n`);
        });
      });
      await new Promise<void>((resolve) => {
        server.listen(file, resolve);
      });
    },
    say: (line) => clients.at(-1)?.write(`${line}\r\n`),
    end: async () => {
      for (const client of clients) client.destroy();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}

describe.each([
  ['in memory', inMemory],
  ['on a unix socket', onSocket],
] as const)('the management socket %s', (where, make) => {
  let folder: TempFolder;
  let openvpn: OpenVpn;
  let events: ManagementEvent[];
  const types = (): string[] => events.map(({ type }) => type);

  beforeEach(async () => {
    folder = await tempFolder();
    openvpn = make(folder.path);
    events = [];
    openvpn.management.onEvent((event) => events.push(event));
  });
  afterEach(async () => {
    openvpn.management.close();
    await folder.remove();
  });

  it('refuses a command while there is no openvpn', async () => {
    expect(openvpn.management.isOpen).toBe(false);
    await expect(openvpn.management.send('pid')).rejects.toMatchObject({
      code: 'V6_VPN_CLIENT_FAILED',
    });
  });

  it('tells of each openvpn from its beginning to its end', async () => {
    for (const round of [1, 2]) {
      await openvpn.start();
      await until('it is open', 5000, () => openvpn.management.isOpen);
      openvpn.say(STATE);
      await until('the state arrives', 5000, () =>
        events.some((event) => event.type === 'state' && event.name === 'CONNECTED'),
      );
      await openvpn.end();
      await until('the end arrives', 5000, () => types().at(-1) === 'closed');
      expect(types()[0], `round ${round}`).toBe('open');
      expect(openvpn.management.isOpen).toBe(false);
      events = [];
    }
  });

  it('is silent after it was closed', async () => {
    await openvpn.start();
    await until('it is open', 5000, () => openvpn.management.isOpen);
    events = [];
    openvpn.management.close();
    if (where !== 'in memory') openvpn.say(STATE);
    await openvpn.end().catch(() => undefined);
    expect(types().filter((type) => type !== 'closed')).toEqual([]);
  });
});

describe('the management socket of openvpn', () => {
  it('tells of the past first, and gives answers to whom they belong', async () => {
    const folder = await tempFolder();
    const openvpn = onSocket(folder.path);
    const seen: string[] = [];
    openvpn.management.onEvent((event) => seen.push(event.type));
    await openvpn.start();
    await until('the past has been told', 5000, () => seen.length === 3);
    expect(seen).toEqual(['open', 'log', 'state']);
    const both = await Promise.allSettled([
      openvpn.management.send('nonsense'),
      openvpn.management.send('pid'),
    ]);
    expect(both).toMatchObject([
      { status: 'rejected', reason: { code: 'V6_VPN_CLIENT_FAILED' } },
      { status: 'fulfilled', value: ['pid=51'] },
    ]);
    openvpn.management.close();
    await openvpn.end();
    await folder.remove();
  });

  it.each([
    ['one endless line', 'x'.repeat(64 * 1024)],
    ['line after line', `1,I,${'y'.repeat(1000)}\r\n`.repeat(60)],
  ])('lets go of something that floods it with %s, and comes back later', async (_what, piece) => {
    const folder = await tempFolder();
    const seen: ManagementEvent[] = [];
    let connections = 0;
    const flood = createServer((socket) => {
      connections += 1;
      socket.on('error', () => undefined);
      const pour = (): void => {
        while (!socket.destroyed && socket.write(piece));
        socket.once('drain', pour);
      };
      pour();
    });
    const file = path.join(folder.path, 'm.sock');
    await new Promise<void>((resolve) => {
      flood.listen(file, resolve);
    });
    const management = new ManagementSocket(file);
    management.onEvent((event) => seen.push(event));
    await until('it is let go', 5000, () => seen.some(({ type }) => type === 'closed'));
    expect(seen.find(({ type }) => type === 'fatal')).toMatchObject({
      message: 'The management socket says more than openvpn would',
    });
    expect(connections).toBe(1);
    management.close();
    await new Promise<void>((resolve) => {
      flood.close(() => resolve());
    });
    await folder.remove();
  });
});
