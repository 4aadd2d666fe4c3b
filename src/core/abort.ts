/**
 * Calls `then` once when the signal aborts; at once when it has already: of an abort during the `await` before, a listener alone
 * never hears. What comes back takes the listener away.
 */
export function whenAborted(signal: AbortSignal, then: () => void): () => void {
  if (signal.aborted) {
    then();
    return () => {};
  }
  const listener = (): void => then();
  signal.addEventListener('abort', listener, { once: true });
  return () => signal.removeEventListener('abort', listener);
}
