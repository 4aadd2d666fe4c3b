import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect, it } from 'vitest';
import { parseSockets, readListeningPorts } from '../../src/adapters/host/listening-ports.ts';

it('shows what really listens, without what only loopback reaches, and without connecting', async () => {
  let connections = 0;
  const open = createServer(() => {
    connections += 1;
  }).listen(0, '0.0.0.0');
  const dual = createServer().listen(0, '::');
  const local = createServer().listen(0, '127.0.0.1');
  const datagrams = createSocket('udp4');
  datagrams.bind(0, '0.0.0.0');
  try {
    await Promise.all([open, dual, local, datagrams].map((server) => once(server, 'listening')));
    const portOf = (server: { address(): unknown }): number =>
      (server.address() as AddressInfo).port;
    const found = await readListeningPorts(process.pid);
    expect(found).toContain(`tcp/${portOf(open)}`);
    expect(found).toContain(`tcp/${portOf(dual)}`);
    expect(found).toContain(`udp/${portOf(datagrams)}`);
    expect(found).not.toContain(`tcp/${portOf(local)}`);
    expect(connections).toBe(0);
  } finally {
    for (const server of [open, dual, local]) server.close();
    datagrams.close();
  }
  expect(await readListeningPorts(process.pid)).not.toContain(`tcp/1`);
});

it('knows nothing of a process that is gone', async () => {
  expect(await readListeningPorts(2 ** 22 + 1)).toBeUndefined();
});

it('leaves out connections and sockets of loopback', () => {
  const text = `  sl  local_address rem_address   st tx_queue
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000
   1: 00000000:22B8 00000000:0000 0A 00000000:00000000
   2: 0300CD0A:22B9 0201CD0A:C350 01 00000000:00000000
   3: 0B00007F:9B29 00000000:0000 0A 00000000:00000000
`;
  expect(parseSockets(text, 'tcp')).toEqual([8888]);
  expect(parseSockets('', 'tcp')).toEqual([]);
});
