import { setTimeout as sleep } from 'node:timers/promises';
import { ECHO_LABEL, type EchoProtocol } from '../../core/protocol/echo.ts';
import type { AlgorithmAddress } from '../../core/protocol/entities.ts';
import type { Endpoint } from './link.ts';

const FAST_MS = 200;
const SLOW_MS = 500;
/** After this long the remaining peers are slow starters; asking less often is enough. */
const FAST_FOR_MS = 3000;

/** Reads the addresses of the own task again and again until closed: peers appear as they become reachable. */
export class AddressBook {
  readonly #read: (signal: AbortSignal) => Promise<readonly AlgorithmAddress[]>;
  readonly #task: number;
  readonly #end = new AbortController();
  readonly #endpoints = new Map<string, Endpoint>();
  #lastError: string | undefined;
  #polling: Promise<void> | undefined;

  constructor(task: number, read: (signal: AbortSignal) => Promise<readonly AlgorithmAddress[]>) {
    this.#task = task;
    this.#read = read;
  }

  /** Begins to read; repeating it changes nothing. */
  open(): void {
    this.#polling ??= this.#poll();
  }

  find(organization: number, protocol: EchoProtocol): Endpoint | undefined {
    return this.#endpoints.get(`${organization}/${protocol}`);
  }

  /** Why the last reading failed; undefined when it did not. */
  get lastError(): string | undefined {
    return this.#lastError;
  }

  async close(): Promise<void> {
    this.#end.abort();
    await this.#polling;
  }

  async #poll(): Promise<void> {
    const { signal } = this.#end;
    const startedAt = performance.now();
    while (!signal.aborted) {
      try {
        this.#store(await this.#read(signal));
        this.#lastError = undefined;
      } catch (error) {
        this.#lastError = error instanceof Error ? error.message : String(error);
      }
      const pauseMs = performance.now() - startedAt < FAST_FOR_MS ? FAST_MS : SLOW_MS;
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  }

  #store(addresses: readonly AlgorithmAddress[]): void {
    for (const { ip, port, label, task_id, organization_id } of addresses) {
      const protocol = label === ECHO_LABEL.tcp ? 'tcp' : label === ECHO_LABEL.udp ? 'udp' : null;
      if (protocol === null || task_id !== this.#task || typeof ip !== 'string') continue;
      this.#endpoints.set(`${organization_id}/${protocol}`, { ip, port });
    }
  }
}
