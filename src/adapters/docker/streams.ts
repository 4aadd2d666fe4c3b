import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { whenAborted } from '../../core/abort.ts';

/**
 * Values that arrive by callback, read in order by one reader. Ends after `end`, throws after `fail`; nothing is lost
 * that was pushed before the reader came.
 */
export class Queue<T> implements AsyncIterable<T> {
  readonly #items: T[] = [];
  #failure: { error: unknown } | undefined;
  #ended = false;
  #wake: (() => void) | undefined;
  readonly #onReturn: () => void;

  constructor(onReturn: () => void = () => {}) {
    this.#onReturn = onReturn;
  }

  push(item: T): void {
    if (this.#ended) return;
    this.#items.push(item);
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  fail(error: unknown): void {
    if (this.#ended) return;
    this.#failure = { error };
    this.end();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    try {
      for (;;) {
        while (this.#items.length > 0) yield this.#items.shift() as T;
        if (this.#failure) throw this.#failure.error;
        if (this.#ended) return;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    } finally {
      this.#onReturn();
    }
  }
}

export interface Following<T> {
  readonly signal: AbortSignal;
  /** What a chunk of the stream brings. */
  readonly take: (chunk: Buffer) => readonly T[];
  readonly translate: (error: unknown) => unknown;
}

/** What a stream of the engine brings until it ends or the signal aborts, also when it did before. Throws what `translate` makes. */
export async function* followStream<T>(
  stream: Readable,
  { signal, take, translate }: Following<T>,
): AsyncIterable<T> {
  const queue = new Queue<T>(() => stream.destroy());
  const end = (): void => queue.end();
  stream.on('data', (chunk: Buffer) => {
    for (const item of take(chunk)) queue.push(item);
  });
  stream.on('end', end);
  stream.on('close', end);
  stream.on('error', (error) => queue.fail(translate(error)));
  const takeBack = whenAborted(signal, end);
  try {
    yield* queue;
  } finally {
    takeBack();
  }
}

/**
 * Takes the engine's frames apart: eight bytes of header (stream number, length), then the payload
 * (Docker Engine API, "Attach to a container", stream format). stdout and stderr come out together.
 */
export class Demultiplexer {
  #rest: Buffer = Buffer.alloc(0);
  readonly #decoders = [new StringDecoder('utf8'), new StringDecoder('utf8')] as const;

  /** The text that became complete with this chunk. */
  push(chunk: Buffer): string {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let text = '';
    while (this.#rest.length >= 8) {
      const size = this.#rest.readUInt32BE(4);
      if (this.#rest.length < 8 + size) break;
      const decoder = this.#decoders[this.#rest[0] === 2 ? 1 : 0];
      text += decoder.write(this.#rest.subarray(8, 8 + size));
      this.#rest = this.#rest.subarray(8 + size);
    }
    return text;
  }
}

/** Characters of one line at most; a longer one comes out in pieces, because a container decides what it prints. */
const LONGEST_LINE = 16 * 1024 * 1024;

/** Cuts text into lines without their line ends. */
export class LineCutter {
  readonly #longest: number;
  #rest = '';

  constructor(longest = LONGEST_LINE) {
    this.#longest = longest;
  }

  push(text: string): string[] {
    const parts = (this.#rest + text).split('\n');
    this.#rest = parts.pop() ?? '';
    if (this.#rest.length > this.#longest) {
      parts.push(this.#rest);
      this.#rest = '';
    }
    return parts.map((line) => line.replace(/\r$/, ''));
  }

  /** What stands after the last line end. */
  get rest(): string {
    return this.#rest;
  }
}
