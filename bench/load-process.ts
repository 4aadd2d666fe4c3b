// A process of its own that plays many nodes. Commands come over the IPC channel of the benchmark, one answer each.
import { Agent } from 'node:http';
import process from 'node:process';
import { request } from './http-request.ts';
import type { LoadAnswer, LoadCommand } from './load.ts';
import { connectPolling, connectWebsocket, type NodeSocket } from './node-sockets.ts';
import { wallClock } from './statistics.ts';

const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });
const sockets: NodeSocket[] = [];
let nodes: readonly { readonly id: number; readonly token: string }[] = [];
let origin = '';

async function connect(command: Extract<LoadCommand, { type: 'connect' }>): Promise<LoadAnswer> {
  nodes = command.nodes;
  origin = command.origin;
  const began = wallClock();
  const open = command.transport === 'websocket' ? connectWebsocket : connectPolling;
  // At once, as after a restart of the server, but for those that wait for a slow server one by one.
  for (let at = 0; at < nodes.length; at += command.atOnce) {
    const some = nodes.slice(at, at + command.atOnce);
    sockets.push(...(await Promise.all(some.map(({ token }) => open({ origin, token, agent })))));
  }
  return { times: [wallClock() - began] };
}

/** Wall-clock times at which each node heard of the next task, and had its run when it reads it. */
async function listen(command: Extract<LoadCommand, { type: 'listen' }>): Promise<LoadAnswer> {
  const readAt: number[] = [];
  const times = await Promise.all(
    sockets.map(async (socket, at) => {
      const task = await socket.nextTask(command.limitMs);
      const heardAt = wallClock();
      const node = nodes[at];
      if (command.reads && node !== undefined) {
        const runs = await request(agent, {
          url: `${origin}/api/run?state=open&node_id=${node.id}&include=task&task_id=${task}`,
          token: node.token,
        });
        if ((JSON.parse(runs.text) as { data: unknown[] }).data.length !== 1)
          throw new Error(`Node ${node.id} has no run of task ${task}: ${runs.text.slice(0, 200)}`);
        readAt.push(wallClock());
      }
      return heardAt;
    }),
  );
  return { times, readAt };
}

type TokenAnswer = { readonly access_token: string; readonly node_url: string };

async function readOwn(server: string, { access_token: token, node_url: own }: TokenAnswer) {
  const { text } = await request(agent, { url: `${server}${own}`, token });
  const node = JSON.parse(text) as Record<'organization' | 'collaboration', { link: string }>;
  for (const { link } of [node.organization, node.collaboration])
    await request(agent, { url: `${server}${link}`, token });
}

/** Each key once, all at the same time; how long each login took. */
async function login(command: Extract<LoadCommand, { type: 'login' }>): Promise<LoadAnswer> {
  const began = wallClock();
  const times = await Promise.all(
    command.apiKeys.map(async (key) => {
      const { text } = await request(agent, {
        url: `${command.origin}/api/token/node`,
        body: { api_key: key },
      });
      if (command.reads) await readOwn(command.origin, JSON.parse(text) as TokenAnswer);
      return wallClock() - began;
    }),
  );
  return { times };
}

async function carryOut(command: LoadCommand): Promise<LoadAnswer> {
  switch (command.type) {
    case 'connect':
      return connect(command);
    case 'listen':
      return listen(command);
    case 'login':
      return login(command);
    case 'close':
      for (const socket of sockets) socket.close();
      agent.destroy();
      setImmediate(() => process.disconnect());
      return { times: [] };
  }
}

process.on('message', (command: LoadCommand) => {
  carryOut(command).then(
    (answer) => process.send?.(answer),
    (error: unknown) =>
      process.send?.({
        times: [],
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      }),
  );
  if (command.type === 'listen') process.send?.({ listening: true });
});
