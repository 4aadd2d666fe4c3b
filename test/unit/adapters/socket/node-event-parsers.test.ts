import { expect, it } from 'vitest';
import { parseKill, parseNewTask } from '../../../../src/adapters/socket/node-event-parsers.ts';

it('reads a new task in both forms that servers send', () => {
  expect(parseNewTask({ id: 12, parent_id: 3 })).toEqual({ id: 12, parent_id: 3 });
  expect(parseNewTask(12)).toEqual({ id: 12, parent_id: null });
  expect(parseNewTask('12')).toBeUndefined();
});

it('keeps an empty list of runs to end apart from no list', () => {
  expect(parseKill({ collaboration_id: 1, kill_list: [] })).toEqual({
    collaboration_id: 1,
    kill_list: [],
  });
  expect(parseKill({ collaboration_id: 1, node_id: 3 })).toEqual({
    collaboration_id: 1,
    node_id: 3,
  });
});

it('does not read a damaged order', () => {
  expect(parseKill({ collaboration_id: 1, kill_list: [{ run_id: 4 }] })).toBeUndefined();
  expect(parseKill({ collaboration_id: 1, kill_list: 'all' })).toBeUndefined();
  expect(parseKill({ collaboration_id: 1, node_id: '3' })).toBeUndefined();
  expect(parseKill({})).toBeUndefined();
});
