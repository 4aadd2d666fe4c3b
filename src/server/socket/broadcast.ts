import { isV6Error } from '../../core/errors.ts';
import { authenticate } from '../auth/identity.ts';
import type { ServerEvent } from '../services/events.ts';
import { cut } from './cut.ts';
import { room, roomsOf } from './rooms.ts';
import type { SocketDeps, TaskSocket, Tasks } from './sockets.ts';
import { createSpread, type Spread } from './spread.ts';

/** Passes on what the services publish. */
export function broadcast(tasks: Tasks, deps: SocketDeps): void {
  const spread = createSpread(tasks);
  deps.events.subscribe((event) => {
    send(tasks, spread, event);
    if (event.type === 'members-changed')
      refreshRooms(tasks, deps, event.organizationIds.map(room.organizationUsers));
    if (event.type === 'missed') readAgain(tasks, deps);
  });
}

/**
 * Nodes are told what they act on: tasks, kills and the fates of algorithms. Upstream sends them `status_update`, `node-online`
 * and `node-offline` too; none listens (vantage6 4.15, node/socket.py), and a thousand nodes that come back at once or start a
 * task each would be sent a million of them.
 */
function send(tasks: Tasks, spread: Spread, event: ServerEvent): void {
  switch (event.type) {
    case 'new-task':
      spread(everybodyIn(event.collaborationId), (to) => to.emit('new_task', event.task));
      return;
    case 'run-changed':
      spread(usersOf(event.collaborationId), (to) =>
        to.emit('status_update', { run_id: event.runId }),
      );
      return;
    case 'kill':
      spread(everybodyIn(event.kill.collaboration_id), (to) =>
        to.emit('kill_containers', event.kill),
      );
      return;
    case 'node-online':
    case 'node-offline': {
      const { id, name, organizationId, collaborationId } = event.node;
      const rooms = [
        ...usersOf(collaborationId),
        room.organization(collaborationId, organizationId),
      ];
      spread(rooms, (to) => to.emit(event.type, { id, name, org_id: organizationId }));
      return;
    }
    case 'address-changed':
      spread([room.collaboration(event.collaborationId)], (to) =>
        to.emit('address_change', {
          node_id: event.nodeId,
          collaboration_id: event.collaborationId,
        }),
      );
      return;
    case 'account-ended':
      tasks.in(room.account(event.accountId)).disconnectSockets(true);
      return;
    case 'algorithm-status':
      spread(everybodyIn(event.change.collaboration_id), (to) =>
        to.emit('algorithm_status_change', event.change),
      );
      return;
    case 'algorithm-log':
      spread(usersOf(event.collaborationId), (to) => to.emit('algorithm_log', event.line));
      return;
    case 'members-changed':
    case 'missed':
      return;
  }
}

const usersOf = (collaboration: number) => [room.users(collaboration), room.everything];

const everybodyIn = (collaboration: number) => [room.collaboration(collaboration), room.everything];

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
