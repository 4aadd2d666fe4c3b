import { V6Error } from '../../core/errors.ts';

/** Of the daemon's memory limit this is what bodies may take, all slots together; each takes a form or two more on its way. */
const LIMIT_BYTES = 512 * 1024 * 1024;

/** Bodies that are held whole: an algorithm may open many requests at once, and the daemon serves other runs too. */
export class BodyBudget {
  readonly #limitBytes: number;
  #heldBytes = 0;

  constructor(limitBytes = LIMIT_BYTES) {
    this.#limitBytes = limitBytes;
  }

  /** For one request, whose bodies count until it is released. */
  open(): HeldBodies {
    return new HeldBodies((bytes) => this.#take(bytes));
  }

  #take(bytes: number): void {
    this.#heldBytes += bytes;
    if (bytes <= 0 || this.#heldBytes <= this.#limitBytes) return;
    throw new V6Error('V6_NODE_NOT_READY', 'The node holds too many large requests at once', {
      hints: ['Send large requests one after the other.'],
      details: { limit: this.#limitBytes },
    });
  }
}

/** What one request holds. */
export class HeldBodies {
  readonly #take: (bytes: number) => void;
  #bytes = 0;

  constructor(take: (bytes: number) => void) {
    this.#take = take;
  }

  /** All of a body. Throws V6_NODE_NOT_READY when the node holds too much already. */
  async collect(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of body) {
      this.#bytes += chunk.byteLength;
      this.#take(chunk.byteLength);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  release(): void {
    this.#take(-this.#bytes);
    this.#bytes = 0;
  }
}
