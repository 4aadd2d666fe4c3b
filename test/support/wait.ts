/** Reads until the answer is good; retries reads only, never actions. Throws with `what` and the last answer after `limitMs`. */
export async function until<T>(
  what: string,
  limitMs: number,
  read: () => Promise<T> | T,
  isGood: (value: T) => boolean = Boolean,
): Promise<T> {
  const end = performance.now() + limitMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await read();
      if (isGood(value)) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end)
      throw new Error(
        `${what} did not happen within ${limitMs} ms; last: ${last instanceof Error ? last.message : JSON.stringify(last)}`,
        { cause: last },
      );
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
