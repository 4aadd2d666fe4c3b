import { connect, createServer, type Server } from 'node:net';
import path from 'node:path';
import type { PrivateEngine } from './private-engine.ts';

/** The server on this port of the machine, on the same port in the network of an engine that leads nowhere: through a file. */
export async function relayServer(machine: PrivateEngine, port: number): Promise<Server> {
  const socket = path.join(machine.folder, 'server.sock');
  const relay = createServer((inner) => {
    const outer = connect(port, '127.0.0.1');
    inner.pipe(outer).pipe(inner);
    for (const end of [inner, outer]) end.on('error', () => undefined);
  });
  await new Promise<void>((resolve) => relay.listen(socket, resolve));
  const program = `require('net').createServer((a) => {
    const b = require('net').connect(process.argv[1]);
    a.pipe(b).pipe(a);
    for (const end of [a, b]) end.on('error', () => undefined);
  }).listen(Number(process.argv[2]), '127.0.0.1')`;
  machine.spawn([process.execPath, '-e', program, socket, String(port)], {
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  return relay;
}
