import { once } from 'node:events';
import http from 'node:http';
import net, { type AddressInfo, type Socket } from 'node:net';

export interface Balancer {
  readonly port: number;
  /** For each request so far, the port of the server that answered it. */
  readonly answered: readonly number[];
  close(): Promise<void>;
}

/**
 * A balancer for tests: requests go to the servers in turn, those of one socket.io session to the server that opened it, and
 * a server that takes no connection is left out. What was under way at a server that dies is answered with 502, never sent again.
 */
export async function startBalancer(ports: readonly number[]): Promise<Balancer> {
  const sessions = new Map<string, number>();
  const answered: number[] = [];
  const open = new Set<Socket>();
  const turns = { sockets: 0, requests: 0 };

  const choose = async (url: string): Promise<number | undefined> => {
    const sid = new URL(url, 'http://x').searchParams.get('sid');
    const known = sid === null ? undefined : sessions.get(sid);
    if (known !== undefined) return known;
    // Counted apart, so that sockets are shared out whatever else is asked.
    const kind = url.startsWith('/socket.io/') ? 'sockets' : 'requests';
    turns[kind] += 1;
    const from = turns[kind];
    for (let tried = 0; tried < ports.length; tried += 1) {
      const port = ports[(from + tried) % ports.length] ?? 0;
      if (await takesConnections(port)) return port;
    }
    return undefined;
  };

  const learn = (url: string, text: string, port: number): void => {
    if (!url.startsWith('/socket.io/')) return;
    const sid = /^0\{"sid":"([^"]+)"/.exec(text)?.[1];
    if (sid !== undefined) sessions.set(sid, port);
  };

  const server = http.createServer((request, response) => {
    const fail = (): void => {
      if (response.headersSent) response.destroy();
      else response.writeHead(502).end('{"msg":"The server behind the balancer is gone"}');
    };
    void choose(request.url ?? '/').then((port) => {
      if (port === undefined) {
        fail();
        return;
      }
      const { method, url, headers } = request;
      // A connection of its own: one that is kept may end just when it is used again.
      const to = { port, host: '127.0.0.1', agent: false };
      const outward = http.request({ ...to, method, path: url, headers });
      outward.on('error', fail);
      outward.on('response', (answer) => {
        answer.on('error', fail);
        answered.push(port);
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.once('data', (chunk: Buffer) => learn(url ?? '', chunk.toString(), port));
        answer.pipe(response);
      });
      response.on('close', () => outward.destroy());
      request.pipe(outward);
    });
  });

  server.on('upgrade', (request, near: Socket, head) => {
    near.on('error', () => near.destroy());
    void choose(request.url ?? '/').then((port) => {
      if (port === undefined) {
        near.destroy();
        return;
      }
      const far = net.connect(port, '127.0.0.1');
      far.on('error', () => near.destroy());
      far.on('close', () => near.destroy());
      near.on('close', () => far.destroy());
      const lines = [`${request.method} ${request.url} HTTP/1.1`];
      for (let at = 0; at < request.rawHeaders.length; at += 2)
        lines.push(`${request.rawHeaders[at]}: ${request.rawHeaders[at + 1]}`);
      far.write(`${lines.join('\r\n')}\r\n\r\n`);
      far.write(head);
      far.pipe(near).pipe(far);
    });
  });
  server.on('connection', (socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    answered,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

function takesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = net.connect(port, '127.0.0.1');
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}
