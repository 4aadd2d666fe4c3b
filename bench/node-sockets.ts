import type { Agent } from 'node:http';
import { io } from 'socket.io-client';
import { request } from './http-request.ts';

/** A node's socket in `/tasks`. */
export interface NodeSocket {
  /** Id of the next task that it hears of. Rejects after `limitMs`. */
  nextTask(limitMs: number): Promise<number>;
  close(): void;
}

interface Connection {
  readonly origin: string;
  readonly token: string;
  readonly agent: Agent;
}

/** Hands tasks to whoever waits. */
function inbox() {
  let wake: ((task: number) => void) | undefined;
  return {
    put: (task: number): void => wake?.(task),
    next: (limitMs: number): Promise<number> =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`No task within ${limitMs} ms`)), limitMs);
        wake = (task) => {
          clearTimeout(timer);
          resolve(task);
        };
      }),
  };
}

/** Resolves when the server has said `sync`, which comes after the rooms are joined. */
export function connectWebsocket({ origin, token }: Connection): Promise<NodeSocket> {
  const box = inbox();
  const socket = io(`${origin}/tasks`, {
    transports: ['websocket'],
    reconnection: false,
    forceNew: true,
    timeout: 120_000,
    extraHeaders: { authorization: `Bearer ${token}` },
  });
  socket.on('new_task', (task: { id: number }) => box.put(task.id));
  return new Promise((resolve, reject) => {
    socket.once('connect_error', reject);
    socket.once('disconnect', (reason) => reject(new Error(`Socket: ${reason}`)));
    socket.once('sync', () => resolve({ nextTask: box.next, close: () => socket.close() }));
  });
}

const SEPARATOR = '\x1e';

/** Long polling as python-socketio does it without a websocket library: one open GET, and a POST per packet of its own. */
export async function connectPolling({ origin, token, agent }: Connection): Promise<NodeSocket> {
  const box = inbox();
  const base = `${origin}/socket.io/?EIO=4&transport=polling`;
  const opened = await request(agent, { url: base, token });
  const { sid } = JSON.parse(opened.text.slice(1)) as { sid: string };
  const url = `${base}&sid=${sid}`;
  await request(agent, { url, body: '40/tasks,' });
  const { promise: synced, resolve: sync, reject: fail } = Promise.withResolvers<void>();
  const state = { isOpen: true };
  const handle = async (packet: string): Promise<void> => {
    if (packet === '2') await request(agent, { url, body: '3' });
    if (packet.startsWith('44/tasks')) throw new Error(`Refused: ${packet}`);
    if (packet.startsWith('42/tasks,["sync"')) sync();
    if (packet.startsWith('42/tasks,["new_task"'))
      box.put((JSON.parse(packet.slice(9)) as [string, { id: number }])[1].id);
  };
  const poll = async (): Promise<void> => {
    while (state.isOpen) {
      const { text } = await request(agent, { url });
      for (const packet of text.split(SEPARATOR)) await handle(packet);
    }
  };
  poll().catch((error: unknown) => {
    if (state.isOpen) fail(error);
  });
  await synced;
  return {
    nextTask: box.next,
    close: () => {
      state.isOpen = false;
    },
  };
}
