import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import type { Logger } from '../../core/logger.ts';
import type { MetaStore } from '../interfaces/store.ts';
import type { EventHub } from './events.ts';

/** In the table `meta`: another value after each change that did not come through a server. */
const KEY = 'outside-change';

/** How long a server may not know of a change, ms. */
const INTERVAL_MS = 1000;

/**
 * Marks that the command line changes accounts or memberships now. As the first write of a transaction it also takes SQLite's
 * write lock before anything is read.
 */
export async function markOutsideChange(meta: Pick<MetaStore, 'set'>): Promise<void> {
  await meta.set(KEY, randomUUID());
}

export interface OutsideChangesDeps {
  readonly meta: Pick<MetaStore, 'find'>;
  readonly events: Pick<EventHub, 'reread'>;
  readonly logger: Logger;
  /** Default 1000 ms. */
  readonly intervalMs?: number;
}

/** Looks for the mark again and again. */
export interface OutsideWatch {
  /** Throws V6_DATABASE. */
  start(): Promise<void>;
  /** Repeating it, or closing what never started, is fine. */
  close(): Promise<void>;
}

/**
 * Has everybody read again when the mark is another one. The database is the one thing that a command line shares with every
 * server, wherever that runs; each replica looks for itself.
 */
export function createOutsideWatch(deps: OutsideChangesDeps): OutsideWatch {
  const ended = new AbortController();
  let over: Promise<void> = Promise.resolve();
  return {
    start: async () => {
      over = watch(deps, await deps.meta.find(KEY), ended.signal);
    },
    close: async () => {
      ended.abort();
      await over;
    },
  };
}

async function watch(
  { meta, events, logger, intervalMs = INTERVAL_MS }: OutsideChangesDeps,
  first: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  let last = first;
  let isFailing = false;
  for (;;) {
    await setTimeout(intervalMs, undefined, { signal, ref: false }).catch(() => undefined);
    if (signal.aborted) return;
    try {
      const mark = await meta.find(KEY);
      if (mark !== last) {
        logger.info(
          'The database was changed from the command line: connections are looked through',
        );
        events.reread();
      }
      last = mark;
      isFailing = false;
    } catch (error) {
      // Once per outage: what needs the database says so itself.
      if (!isFailing) logger.warn('Changes from outside cannot be looked for', { error });
      isFailing = true;
    }
  }
}
