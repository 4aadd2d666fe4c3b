import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  answerTo,
  type EchoMessage,
  MAX_MESSAGE_BYTES,
  newNonce,
  parseMessage,
  renderMessage,
} from '../../../../src/algorithm/echo/wire.ts';

const id = fc.integer({ min: 0, max: 999_999_999_999_999 });
const message: fc.Arbitrary<EchoMessage> = fc.record({
  kind: fc.constantFrom('probe', 'reply', 'done', 'ack'),
  task: id,
  from: id,
  to: id,
  nonce: fc.constant('').map(newNonce),
});

describe('messages between echo containers', () => {
  it('come back from their text, which is short and one line', () => {
    fc.assert(
      fc.property(message, (one) => {
        const text = renderMessage(one);
        expect(parseMessage(text)).toEqual(one);
        expect(text.length).toBeLessThanOrEqual(MAX_MESSAGE_BYTES);
        expect(text).not.toContain('\n');
      }),
    );
  });

  it('are nothing else than what they are', () => {
    fc.assert(fc.property(fc.string(), (text) => parseMessage(text) === undefined));
    expect(parseMessage('v6-echo/2 probe 1 2 3 0123456789abcdef')).toBeUndefined();
    expect(parseMessage('v6-echo/1 probe 1 2 3 0123456789ABCDEF')).toBeUndefined();
    expect(parseMessage('v6-echo/1 probe 1 2 3 0123456789abcdef ')).toBeUndefined();
  });

  it('are answered with the same nonce in the own name', () => {
    const probe: EchoMessage = { kind: 'probe', task: 9, from: 1, to: 5, nonce: newNonce() };
    const self = { task: 12, organization: 2 };
    expect(answerTo(probe, self)).toEqual({
      kind: 'reply',
      task: 12,
      from: 2,
      to: 1,
      nonce: probe.nonce,
    });
    expect(answerTo({ ...probe, kind: 'done' }, self).kind).toBe('ack');
  });
});
