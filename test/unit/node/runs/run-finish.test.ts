import { describe, expect, it } from 'vitest';
import { V6Error } from '../../../../src/core/errors.ts';
import { NodeWorld } from '../../../fakes/node-world.ts';

describe('a result that is larger than the server takes', () => {
  // Our server, and a proxy before one that answers with a page of its own.
  it.each(['V6_SERVER_REFUSED', 'V6_SERVER_ANSWER'] as const)(
    'ends its run as failed, with the log and the reason (%s)',
    async (code) => {
      const world = await new NodeWorld({
        engine: { program: () => ({ exitCode: 0, output: 'hello\n' }) },
      }).ready();
      const { runs } = world.coordinator;
      const patch = runs.patch.bind(runs);
      runs.patch = async (id, changes) => {
        if (changes.result !== undefined)
          throw new V6Error(code, 'Request body is too large', { details: { status: 413 } });
        await patch(id, changes);
      };
      const run = world.coordinator.add({ image: 'echo:1' });
      await world.sync();
      expect(run).toMatchObject({ status: 'failed', ends: 1, result: null });
      expect(run.log).toContain('Request body is too large');
      expect(run.log).toContain('The result of this run was not sent.');
      expect(run.log).toContain('hello\n');
      expect(world.coordinator.statuses.at(-1)).toMatchObject({ status: 'failed' });
      expect(world.ports.held()).toEqual([]);
      expect([...world.files.records]).toEqual([]);
    },
  );
});
