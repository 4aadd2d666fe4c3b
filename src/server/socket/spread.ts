import type { Tasks } from './sockets.ts';

/** Sockets between two looks at the clock: writing to one that polls takes 50 µs. */
const AT_ONCE = 25;
/**
 * For how long requests wait. A thousand websockets are told in half of it. Longer than it has to be for those alone, because who
 * is told asks something at once: the last ones would hear of a task only after hundreds of requests of the first.
 */
const TURN_MS = 40;

type Emit = (to: ReturnType<Tasks['to']>) => void;

/**
 * Sends to all sockets in any of these rooms, each once, in the order of the calls. Many sockets are reached group by group, so
 * that a thousand of them do not hold up everybody's requests.
 */
export type Spread = (rooms: readonly string[], emit: Emit) => void;

export function createSpread(tasks: Tasks): Spread {
  const waiting: { readonly ids: readonly string[]; readonly emit: Emit }[] = [];
  // Every socket is alone in the room of its own id.
  const send = ({ ids, emit }: (typeof waiting)[number]): void => emit(tasks.to([...ids]));
  const takeTurn = (): void => {
    const end = performance.now() + TURN_MS;
    try {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        send(next);
        if (performance.now() > end) return;
      }
    } finally {
      if (waiting.length > 0) setImmediate(takeTurn);
    }
  };
  return (rooms, emit) => {
    const ids = [...new Set(rooms.flatMap((room) => [...(tasks.adapter.rooms.get(room) ?? [])]))];
    if (ids.length === 0) return;
    const isIdle = waiting.length === 0;
    for (let at = 0; at < ids.length; at += AT_ONCE)
      waiting.push({ ids: ids.slice(at, at + AT_ONCE), emit });
    // What published it, often a request, is answered first.
    if (isIdle && ids.length > AT_ONCE) setImmediate(takeTurn);
    else if (isIdle) takeTurn();
  };
}
