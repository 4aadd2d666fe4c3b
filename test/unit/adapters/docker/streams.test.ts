import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Demultiplexer, LineCutter, Queue } from '../../../../src/adapters/docker/streams.ts';

function frame(stream: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(payload.length, 4);
  return Buffer.concat([header, payload]);
}

describe('streams of the engine', () => {
  it('puts frames together again, wherever they were cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom(1, 2), fc.string({ unit: 'grapheme' }))),
        fc.array(fc.nat(50)),
        (messages, cuts) => {
          const whole = Buffer.concat(messages.map(([to, text]) => frame(to, Buffer.from(text))));
          const demultiplexer = new Demultiplexer();
          let out = '';
          let at = 0;
          for (const cut of [...cuts, whole.length]) {
            out += demultiplexer.push(whole.subarray(at, at + cut));
            at += cut;
          }
          expect(out).toBe(messages.map(([, text]) => text).join(''));
        },
      ),
    );
  });

  it('cuts lines and keeps what is not complete', () => {
    const cutter = new LineCutter();
    expect(cutter.push('one\ntw')).toEqual(['one']);
    expect(cutter.push('o\r\n\nrest')).toEqual(['two', '']);
    expect(cutter.rest).toBe('rest');
  });

  it('gives a line without an end out in pieces, and keeps no more than its limit', () => {
    const cutter = new LineCutter(10);
    expect(cutter.push('12345678')).toEqual([]);
    expect(cutter.push('9012')).toEqual(['123456789012']);
    expect(cutter.rest).toBe('');
    expect(cutter.push('end\n')).toEqual(['end']);
  });

  it('loses nothing that came before its reader, and ends or fails after it', async () => {
    const queue = new Queue<number>();
    queue.push(1);
    queue.push(2);
    queue.fail(new Error('gone'));
    queue.push(3);
    const seen: number[] = [];
    await expect(
      (async () => {
        for await (const item of queue) seen.push(item);
      })(),
    ).rejects.toThrow('gone');
    expect(seen).toEqual([1, 2]);
  });
});
