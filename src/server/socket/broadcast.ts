import { isV6Error } from '../../core/errors.ts';
import { authenticate } from '../auth/identity.ts';
import type { ServerEvent } from '../services/events.ts';
import { cut } from './cut.ts';
import { room, roomsOf } from './rooms.ts';
import type { SocketDeps, TaskSocket, Tasks } from './sockets.ts';

/** Passes on what the services publish. */
export function broadcast(tasks: Tasks, deps: SocketDeps): void {
  deps.events.subscribe((event) => {
    send(tasks, event);
    if (event.type === 'members-changed')
      refreshRooms(tasks, deps, event.organizationIds.map(room.organizationUsers));
    if (event.type === 'missed') readAgain(tasks, deps);
  });
}

function send(tasks: Tasks, event: ServerEvent): void {
  switch (event.type) {
    case 'new-task':
      toCollaboration(tasks, event.collaborationId).emit('new_task', event.task);
      return;
    case 'run-changed':
      toCollaboration(tasks, event.collaborationId).emit('status_update', { run_id: event.runId });
      return;
    case 'kill':
      toCollaboration(tasks, event.kill.collaboration_id).emit('kill_containers', event.kill);
      return;
    case 'node-online':
    case 'node-offline': {
      const { id, name, organizationId, collaborationId } = event.node;
      // Not to the other nodes, as upstream does: none listens for it (vantage6 4.15, node/socket.py), and a thousand nodes that
      // come back at once would be sent half a million of them. One emit to several rooms reaches each socket once.
      tasks
        .to([
          room.users(collaborationId),
          room.organization(collaborationId, organizationId),
          room.everything,
        ])
        .emit(event.type, { id, name, org_id: organizationId });
      return;
    }
    case 'account-ended':
      tasks.in(room.account(event.accountId)).disconnectSockets(true);
      return;
    case 'algorithm-status':
      toCollaboration(tasks, event.change.collaboration_id).emit(
        'algorithm_status_change',
        event.change,
      );
      return;
    case 'algorithm-log':
      tasks
        .to([room.users(event.collaborationId), room.everything])
        .emit('algorithm_log', event.line);
      return;
    case 'members-changed':
    case 'missed':
      return;
  }
}

const toCollaboration = (tasks: Tasks, id: number) =>
  tasks.to([room.collaboration(id), room.everything]);

/** Nodes look for runs that they have not heard of; tokens and memberships that ended meanwhile count now. */
function readAgain(tasks: Tasks, deps: SocketDeps): void {
  for (const socket of tasks.sockets.values())
    if (socket.data.authenticated?.identity.kind === 'node') socket.emit('sync');
  refreshRooms(tasks, deps, undefined);
}

/** Whoever is in one of these rooms gets those that it belongs in now. Undefined: everybody. */
function refreshRooms(tasks: Tasks, deps: SocketDeps, rooms: readonly string[] | undefined): void {
  const work = async (): Promise<void> => {
    for (const socket of tasks.sockets.values()) {
      if (socket.data.authenticated === undefined) continue;
      if (rooms !== undefined && !rooms.some((one) => socket.rooms.has(one))) continue;
      try {
        await refresh(socket, deps);
      } catch (error) {
        // Without an answer of the database nobody is judged: its return makes everybody read again.
        if (isV6Error(error, 'V6_DATABASE')) throw error;
        // Whoever cannot be identified any more has nothing to hear until the next login.
        for (const left of socket.rooms) if (left !== socket.id) await socket.leave(left);
        cut(socket.conn);
      }
    }
  };
  work().catch((error: unknown) => {
    deps.logger.error('The rooms of sockets could not be renewed', { error });
  });
}

async function refresh(socket: TaskSocket, deps: SocketDeps): Promise<void> {
  const { identity } = await authenticate(deps, socket.handshake.headers.authorization);
  const wanted = new Set(roomsOf(identity));
  for (const present of socket.rooms)
    if (present !== socket.id && !wanted.has(present)) await socket.leave(present);
  await socket.join([...wanted]);
}
