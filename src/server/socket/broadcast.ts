import { authenticate } from '../auth/identity.ts';
import type { ServerEvent } from '../services/events.ts';
import { cut } from './cut.ts';
import { room, roomsOf } from './rooms.ts';
import type { SocketDeps, TaskSocket, Tasks } from './sockets.ts';

/** Passes on what the services publish. */
export function broadcast(tasks: Tasks, deps: SocketDeps): void {
  deps.events.subscribe((event) => {
    send(tasks, event);
    if (event.type === 'members-changed') void refreshRooms(tasks, deps, event.organizationIds);
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
      // One emit to several rooms reaches each socket once.
      toCollaboration(tasks, collaborationId)
        .to(room.organization(collaborationId, organizationId))
        .emit(event.type, { id, name, org_id: organizationId });
      return;
    }
    case 'account-ended':
      tasks.in(room.account(event.accountId)).disconnectSockets(true);
      return;
    case 'members-changed':
      return;
  }
}

const toCollaboration = (tasks: Tasks, id: number) =>
  tasks.to([room.collaboration(id), room.everything]);

/** Users of these organizations get the rooms that they belong in now. */
async function refreshRooms(
  tasks: Tasks,
  deps: SocketDeps,
  organizations: readonly number[],
): Promise<void> {
  const rooms = new Set(organizations.map(room.organizationUsers));
  for (const socket of tasks.sockets.values()) {
    if (![...rooms].some((one) => socket.rooms.has(one))) continue;
    try {
      await refresh(socket, deps);
    } catch {
      // Whoever cannot be identified any more has nothing to hear until the next login.
      for (const left of socket.rooms) if (left !== socket.id) await socket.leave(left);
      cut(socket.conn);
    }
  }
}

async function refresh(socket: TaskSocket, deps: SocketDeps): Promise<void> {
  const { identity } = await authenticate(deps, socket.handshake.headers.authorization);
  const wanted = new Set(roomsOf(identity));
  for (const present of socket.rooms)
    if (present !== socket.id && !wanted.has(present)) await socket.leave(present);
  await socket.join([...wanted]);
}
