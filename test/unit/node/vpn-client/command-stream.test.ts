import { describe, expect, it } from 'vitest';
import type { LineStream } from '../../../../src/core/engine/engine.ts';
import { CommandStream, isLostStream } from '../../../../src/node/vpn-client/command-stream.ts';

/** A shell that answers each command with the lines that the test gives; undefined: it dies. */
function shell(answers: ((line: string) => readonly string[] | undefined) | 'silent'): LineStream {
  const lines: string[] = [];
  let wake: () => void = nothing;
  let isOpen = true;
  const close = (): void => {
    isOpen = false;
    wake();
  };
  async function* read(): AsyncGenerator<string> {
    for (;;) {
      while (lines.length > 0) yield lines.shift() ?? '';
      if (!isOpen) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  }
  return {
    write: (line) => {
      if (answers === 'silent') return;
      const answer = answers(line);
      if (answer) lines.push(...answer);
      else isOpen = false;
      wake();
    },
    lines: read(),
    close,
  };
}

function nothing(): void {}

const markerOf = (line: string): string => /(v6-end-\d+) %s/.exec(line)?.[1] ?? 'none';

describe('the command stream', () => {
  it('gives each command its own lines, in order', async () => {
    const stream = new CommandStream(
      shell((line) =>
        line.startsWith('{') ? [`of ${line.slice(2, 5)}`, '', `${markerOf(line)} 0`] : [],
      ),
      'set up',
    );
    expect(await Promise.all([stream.run('one'), stream.run('two')])).toEqual([
      ['of one'],
      ['of two'],
    ]);
    stream.close();
  });

  it('fails a command by its exit status and goes on', async () => {
    const stream = new CommandStream(
      shell((line) =>
        line.startsWith('{')
          ? ['why not', '', `${markerOf(line)} ${line.includes('bad') ? 1 : 0}`]
          : [],
      ),
      'set up',
    );
    const failure = await stream.run('bad').catch((error: unknown) => error);
    expect(failure).toMatchObject({
      code: 'V6_VPN_CLIENT_FAILED',
      details: { status: 1, output: 'why not' },
    });
    expect(isLostStream(failure)).toBe(false);
    expect(await stream.run('good')).toEqual(['why not']);
    stream.close();
  });

  it('fails everything that waits when the stream ends, and everything after', async () => {
    const stream = new CommandStream(
      shell((line) => (line.startsWith('{') ? undefined : [])),
      'set up',
    );
    const [one, two] = await Promise.allSettled([stream.run('one'), stream.run('two')]);
    for (const result of [one, two])
      expect(result.status === 'rejected' && isLostStream(result.reason)).toBe(true);
    await stream.ended;
    expect(stream.isLost).toBe(true);
    await expect(stream.run('three')).rejects.toMatchObject({ code: 'V6_VPN_CLIENT_FAILED' });
  });

  it('gives up a shell that never stops to talk', async () => {
    const flood = Array.from({ length: 40 }, () => 'x'.repeat(1024 * 1024));
    const stream = new CommandStream(
      shell((line) => (line.startsWith('{') ? flood : [])),
      'set up',
    );
    const failure = await stream.run('describe').catch((error: unknown) => error);
    expect(isLostStream(failure)).toBe(true);
    expect(stream.isLost).toBe(true);
  });

  it('lets nothing of an answer act on a terminal', async () => {
    const evil = '\ttable\u001b]0;owned\u0007 inet\u202e';
    const stream = new CommandStream(
      shell((line) => (line.startsWith('{') ? [evil, `${markerOf(line)} 0`] : [])),
      'set up',
    );
    expect(await stream.run('describe')).toEqual(['\ttable]0;owned inet']);
    stream.close();
  });

  it('takes no second line', () => {
    const stream = new CommandStream(shell('silent'), 'set up');
    expect(() => stream.run('one\nreboot')).toThrow(RangeError);
    stream.close();
  });
});
