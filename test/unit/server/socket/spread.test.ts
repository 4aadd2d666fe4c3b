import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Tasks } from '../../../../src/server/socket/sockets.ts';
import { createSpread } from '../../../../src/server/socket/spread.ts';

/** Rooms with members, and what was sent to whom; each emit takes `ms` of the processor. */
function world(rooms: Readonly<Record<string, readonly string[]>>, ms = 0) {
  const sent: { readonly ids: readonly string[]; readonly event: string }[] = [];
  const tasks = {
    adapter: { rooms: new Map(Object.entries(rooms).map(([name, ids]) => [name, new Set(ids)])) },
    to: (ids: readonly string[]) => ({
      emit: (event: string) => {
        const end = performance.now() + ms;
        while (performance.now() < end);
        sent.push({ ids, event });
      },
    }),
  };
  return { spread: createSpread(tasks as unknown as Tasks), sent };
}

const many = (count: number) => Array.from({ length: count }, (_, at) => `s${at}`);

describe('an event for many sockets', () => {
  it('reaches each socket of several rooms once, and few of them at once', () => {
    const { spread, sent } = world({ a: ['1', '2'], b: ['2', '3'] });
    spread(['a', 'b', 'nobody'], (to) => to.emit('sync'));
    expect(sent).toStrictEqual([{ ids: ['1', '2', '3'], event: 'sync' }]);
  });

  it('lets others have a turn, and keeps the order of events', async () => {
    const { spread, sent } = world({ all: many(300), one: ['s299'] }, 10);
    spread(['all'], (to) => to.emit('new_task', { id: 1, parent_id: null }));
    spread(['one'], (to) => to.emit('sync'));
    expect(sent.length).toBeLessThan(5);
    while (sent.at(-1)?.event !== 'sync') await turn();
    expect(sent.flatMap(({ ids }) => ids)).toStrictEqual([...many(300), 's299']);
    expect(sent.at(-1)?.event).toBe('sync');
  });
});
