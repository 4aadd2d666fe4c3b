/** Pauses that double, from `firstMs` to `longestMs`. */
export class BackOff {
  private nextMs: number;
  private readonly firstMs: number;
  private readonly longestMs: number;

  constructor({ firstMs, longestMs }: { readonly firstMs: number; readonly longestMs: number }) {
    this.firstMs = firstMs;
    this.longestMs = longestMs;
    this.nextMs = firstMs;
  }

  /** The pause before the next attempt, in ms. */
  next(): number {
    const pauseMs = this.nextMs;
    this.nextMs = Math.min(pauseMs * 2, this.longestMs);
    return pauseMs;
  }

  reset(): void {
    this.nextMs = this.firstMs;
  }
}
