import { describe, expect, it } from 'vitest';
import { decryptMessage, encryptMessage } from '../../../../src/core/crypto/message.ts';
import { V6Error } from '../../../../src/core/errors.ts';
import type { Payloads } from '../../../../src/node/encryption/payloads.ts';
import { keyPair } from '../../../fakes/key-pairs.ts';
import { NodeWorld } from '../../../fakes/node-world.ts';

const own = keyPair('own').key;
const owner = keyPair('owner').key;

/** Inputs for us, results for the organization that started the task (2, in the fake). */
function payloads(more: Partial<Payloads> = {}): Payloads {
  return {
    encrypted: true,
    open: (text, what) => decryptMessage(text, own.key, what),
    seal: async (payload, organization) => {
      if (organization !== 2) throw new Error(`sealed for ${organization}`);
      return encryptMessage(payload, owner.publicKey.key);
    },
    ...more,
  };
}

const input = (text: string, key = own) => encryptMessage(Buffer.from(text), key.publicKey.key);

describe('a run of an encrypted collaboration', () => {
  it('gives the algorithm the input in plain, and its result to the server encrypted', async () => {
    const world = await new NodeWorld({
      payloads: payloads(),
      engine: { program: () => ({ exitCode: 0, output: '' }) },
    }).ready();
    world.files.output = '{"sum": 7}';
    const run = world.coordinator.add({ image: 'echo:1' });
    run.input = input('{"method":"sum"}');
    await world.sync();
    expect(world.files.inputs.get(run.id)).toBe('{"method":"sum"}');
    expect(run).toMatchObject({ status: 'completed', ends: 1 });
    expect(Buffer.from(decryptMessage(run.result ?? '', owner.key, '')).toString()).toBe(
      '{"sum": 7}',
    );
  });

  it.each([
    ['for another key', input('{}', owner)],
    ['that is not encrypted', 'e30='],
  ])(
    'fails with its own cause for an input %s, before anything is started',
    async (_what, text) => {
      const world = await new NodeWorld({ payloads: payloads() }).ready();
      const run = world.coordinator.add({ image: 'echo:1' });
      run.input = text;
      await world.sync();
      expect(run).toMatchObject({ status: 'failed', ends: 1, result: null });
      expect(run.log).toContain('V6_ENCRYPTION_UNREADABLE');
      expect(run.log).toContain(`the input of run ${run.id}`);
      expect(world.isRunning(run.id)).toBe(false);
    },
  );

  it('fails without a result when the key of its owner is refused, and never sends it in plain', async () => {
    const refused = new V6Error('V6_ENCRYPTION_KEY_CHANGED', 'another key');
    const world = await new NodeWorld({
      payloads: payloads({ seal: () => Promise.reject(refused) }),
      engine: { program: () => ({ exitCode: 0, output: 'done\n' }) },
    }).ready();
    world.files.output = '{"sum": 7}';
    const run = world.coordinator.add({ image: 'echo:1' });
    run.input = input('{}');
    await world.sync();
    expect(run).toMatchObject({ status: 'failed', ends: 1, result: null });
    expect(run.log).toContain('V6_ENCRYPTION_KEY_CHANGED');
    expect(run.log).toContain('done\n');
    expect(world.coordinator.statuses.at(-1)).toMatchObject({ status: 'failed' });
  });

  it.each([
    ['is away', new V6Error('V6_SERVER_UNREACHABLE', 'away')],
    ['stumbles', new V6Error('V6_SERVER_REFUSED', 'an error', { details: { status: 500 } })],
  ])('waits with its result for a server that %s', async (_, error) => {
    let isAway = true;
    const world = await new NodeWorld({
      payloads: payloads({
        seal: async (payload) => {
          if (isAway) throw error;
          return encryptMessage(payload, owner.publicKey.key);
        },
      }),
      engine: { program: () => ({ exitCode: 0, output: '' }) },
    }).ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    run.input = input('{}');
    await world.sync();
    expect(run.finishedAt).toBeNull();
    isAway = false;
    await world.clock.turn(20_000);
    await world.settle();
    expect(run).toMatchObject({ status: 'completed', ends: 1 });
  });
});
