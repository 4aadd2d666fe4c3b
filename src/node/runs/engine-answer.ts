import { whenAborted } from '../../core/abort.ts';
import type { Clock } from '../../core/clock.ts';

/** An engine that is there answers a question in some 20 ms: that much later it is not, ms. */
const GRACE_MS = 1000;

/**
 * The answer of the engine to a question. When the signal aborts it is waited for one second more, and then rejected with the
 * signal's reason: an engine that takes questions and answers none is given up after minutes only. Not for what changes anything:
 * nobody would see what became of it.
 */
export async function engineAnswer<T>(
  clock: Clock,
  signal: AbortSignal,
  answer: Promise<T>,
): Promise<T> {
  const over = new AbortController();
  let takeBack = (): void => undefined;
  const late = new Promise<never>((_, reject) => {
    const giveUp = (): void => reject(signal.reason as Error);
    takeBack = whenAborted(signal, () => {
      clock.sleep(GRACE_MS, over.signal).then(giveUp, () => undefined);
    });
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    takeBack();
    over.abort(new Error('the engine has answered, or is not waited for any more'));
  }
}
