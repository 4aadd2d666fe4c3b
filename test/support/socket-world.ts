import { attachSockets } from '../../src/server/socket/server.ts';
import { createWorld } from './server-app.ts';
import { type Heard, listen } from './server-process.ts';
import { until } from './wait.ts';

const LIMIT_MS = 10_000;

/** The world of `createWorld` on a port of loopback, with its sockets. Time stands still but for the timers of sockets. */
export async function createSocketWorld() {
  const world = await createWorld();
  const sockets = attachSockets(world.app.server, {
    store: world.store,
    tokens: world.tokens,
    presence: world.presence,
    events: world.hub,
    logger: recorder(world.lines),
    clock: world.clock,
    ready: Promise.resolve(),
  });
  await world.app.listen({ host: '127.0.0.1', port: 0 });
  const address = world.app.server.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  const opened: Heard[] = [];
  const open = (token: string | undefined, transport: 'polling' | 'websocket' = 'websocket') => {
    const heard = listen(port, token, transport);
    opened.push(heard);
    return heard;
  };
  return {
    ...world,
    sockets,
    port,
    open,
    /** A node that the server has welcomed. */
    connect: async (token: string, transport?: 'polling' | 'websocket'): Promise<Heard> => {
      const heard = open(token, transport);
      await hears(heard, 'sync');
      return heard;
    },
    /** A user with a socket that the server counts: it has no word for users. */
    watch: async (token: string): Promise<Heard> => {
      const before = sockets.count().reduce((sum, { count }) => sum + count, 0);
      const heard = open(token);
      await until('the socket of a user', LIMIT_MS, () => heard.socket.connected);
      await until(
        'its place in the count',
        LIMIT_MS,
        () => sockets.count().reduce((sum, { count }) => sum + count, 0) > before,
      );
      return heard;
    },
    close: async () => {
      for (const { socket } of opened) socket.close();
      await sockets.close();
      await world.close();
    },
  };
}

export type SocketWorld = Awaited<ReturnType<typeof createSocketWorld>>;

/** Resolves when it has heard the event so many times. */
export const hears = (heard: Heard, name: string, times = 1): Promise<unknown> =>
  until(`event ${name}`, LIMIT_MS, () => heard.names.filter((one) => one === name).length >= times);

/** What it heard of this name so far. */
export const payloads = (heard: Heard, name: string): readonly unknown[] =>
  heard.events.filter((event) => event.name === name).map(({ payload }) => payload);

function recorder(lines: string[]) {
  const write = (message: string, fields?: unknown): void => {
    lines.push(`${message} ${JSON.stringify(fields ?? {})}`);
  };
  return { debug: write, info: write, warn: write, error: write };
}
