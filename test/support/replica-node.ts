import { io, type Socket } from 'socket.io-client';
import { type Caller, caller } from './server-process.ts';

/** A node as far as the server sees one: it stays connected, and reads its runs again whenever it is told to. */
export interface ReplicaNode {
  readonly id: number;
  readonly organization: number;
  readonly call: Caller;
  readonly socket: Socket;
  /** Names of all events so far, in order. */
  readonly names: string[];
  readonly events: { readonly name: string; readonly payload: unknown }[];
  /** Tasks of the runs that it has read. */
  readonly tasks: ReadonlySet<number>;
  close(): void;
}

interface Input {
  readonly port: number;
  readonly id: number;
  readonly organization: number;
  readonly token: string;
  readonly transport: 'polling' | 'websocket';
}

export function startReplicaNode({ port, id, organization, token, transport }: Input): ReplicaNode {
  const call = caller(`http://127.0.0.1:${port}/api`, token);
  const tasks = new Set<number>();
  const names: string[] = [];
  const events: ReplicaNode['events'] = [];
  const socket = io(`http://127.0.0.1:${port}/tasks`, {
    transports: [transport],
    upgrade: false,
    forceNew: true,
    reconnectionDelay: 200,
    reconnectionDelayMax: 1000,
    extraHeaders: { authorization: `Bearer ${token}` },
  });
  let reading: Promise<void> | undefined;
  let isStale = false;
  const readAll = async (): Promise<void> => {
    for (let page = 1; ; page += 1) {
      const path = `/run?state=open&node_id=${id}&per_page=100&page=${page}`;
      const { status, body } = await call('GET', path);
      // As nodes do: what fails now is read with the next event or sync.
      if (status !== 200) return;
      const data = body.data as readonly { readonly task: { readonly id: number } }[];
      for (const run of data) tasks.add(run.task.id);
      if (data.length < 100) return;
    }
  };
  const read = (): void => {
    isStale = true;
    reading ??= (async () => {
      while (isStale) {
        isStale = false;
        await readAll().catch(() => undefined);
      }
      reading = undefined;
    })();
  };
  socket.onAny((name: string, payload: unknown) => {
    names.push(name);
    events.push({ name, payload });
    if (name === 'sync' || name === 'new_task') read();
  });
  // Not tried again by the client itself: the server refused it, for example without its database.
  socket.on('connect_error', () => {
    if (!socket.active) setTimeout(() => socket.connect(), 500).unref();
  });
  return {
    id,
    organization,
    call,
    socket,
    names,
    events,
    tasks,
    close: () => void socket.close(),
  };
}
