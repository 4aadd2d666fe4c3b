import type { Clock } from '../../core/clock.ts';
import type { Engine } from '../../core/engine/engine.ts';
import { toV6Error, V6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Slot } from '../../core/vpn/slot.ts';
import type { ClientContainerKeeper } from './client-container.ts';
import { CommandStream, isLostStream } from './command-stream.ts';

const SET_UP = '. /usr/local/lib/v6/client.sh';
/** How long the engine's restart policy may take before we start the container ourselves, ms. */
const RESTART_PATIENCE_MS = 3000;
const RETRY_MS = 2000;

export interface LinkDeps {
  readonly engine: Pick<Engine, 'containers' | 'events'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly container: ClientContainerKeeper;
  /** Aborts when the VPN client is let go. */
  readonly signal: AbortSignal;
  /** One change at a time, shared with everybody who changes the VPN client. */
  readonly serial: <T>(change: () => Promise<T>) => Promise<T>;
  readonly slots: () => readonly Slot[];
  /** Makes all of the desired state true over a new stream. */
  readonly apply: (stream: CommandStream) => Promise<void>;
  readonly onLost: () => void;
}

/** The way into the VPN client's container. When it is lost it is made again, with all of the desired state. */
export class ClientLink {
  readonly #deps: LinkDeps;
  #stream: CommandStream | undefined;
  #containerId: string | undefined;
  #isRecovering = false;

  constructor(deps: LinkDeps) {
    this.#deps = deps;
  }

  /** Runs a command that may be repeated; to be called inside the queue. A lost stream is opened again first. */
  async run(command: string): Promise<readonly string[]> {
    const stream = this.#stream;
    if (stream && !stream.isLost) {
      try {
        return await stream.run(command);
      } catch (error) {
        if (!isLostStream(error)) throw error;
      }
    }
    return (await this.#open()).run(command);
  }

  /**
   * The first stream; to be called inside the queue. A client without rules is of no use to anybody: when it does not get
   * so far it is removed, and its last words are the reason.
   */
  async openFirst(): Promise<void> {
    try {
      await this.#open();
    } catch (error) {
      const { container } = this.#deps;
      const lastWords = await container.lastWords();
      await container.remove();
      const { code, message } = toV6Error(error);
      throw new V6Error(code, `The VPN client did not start: ${lastWords || message}`, {
        hints: ['The kernel must have nf_tables and tun: `modprobe nf_tables tun`.'],
        cause: error,
      });
    }
    void this.#follow();
  }

  close(): void {
    this.#stream?.close();
  }

  async #open(): Promise<CommandStream> {
    const { engine, container, signal, apply } = this.#deps;
    signal.throwIfAborted();
    this.#stream?.close();
    const id = await this.#runningContainer();
    const lines = await engine.containers.openStream(id, ['/bin/sh']);
    const stream = new CommandStream(lines, SET_UP);
    try {
      await stream.run('ready');
      await apply(stream);
    } catch (error) {
      // Half of the desired state is none: the next attempt begins anew.
      stream.close();
      throw error;
    }
    this.#stream = stream;
    this.#containerId = id;
    void stream.ended.then(() => this.#recover());
    this.#deps.logger.debug('The stream into the VPN client is open', {
      container: container.name,
    });
    return stream;
  }

  async #runningContainer(): Promise<string> {
    const { clock, container, signal, slots } = this.#deps;
    for (let waitedMs = 0; waitedMs < RESTART_PATIENCE_MS; waitedMs += 100) {
      const found = await container.find();
      if (found?.state === 'running') return found.id;
      // Gone, or never started: nobody but us will start it.
      if (found === undefined || found.state === 'dead' || found.state === 'created') break;
      await clock.sleep(100, signal);
    }
    await container.revive(slots());
    const revived = await container.find();
    if (revived) return revived.id;
    throw new V6Error('V6_VPN_CLIENT_FAILED', 'The VPN client went away as it was started');
  }

  /** Until it works or we are let go. */
  async #recover(): Promise<void> {
    const { signal, logger, container, onLost } = this.#deps;
    if (this.#isRecovering || signal.aborted || this.#stream?.isLost === false) return;
    this.#isRecovering = true;
    onLost();
    logger.warn('The VPN client was lost; bringing it back', { container: container.name });
    try {
      while (!signal.aborted && !(await this.#tryAgain()))
        await this.#deps.clock.sleep(RETRY_MS, signal);
    } catch {
      // Let go meanwhile.
    } finally {
      this.#isRecovering = false;
    }
  }

  async #tryAgain(): Promise<boolean> {
    const { serial, logger, container, signal } = this.#deps;
    try {
      await serial(async () => {
        if (this.#stream?.isLost !== false) await this.#open();
      });
      logger.info('The VPN client is back', { container: container.name });
      return true;
    } catch (error) {
      signal.throwIfAborted();
      logger.warn('The VPN client could not be brought back; trying again', {
        code: toV6Error(error).code,
        error,
      });
      return false;
    }
  }

  /** The engine's events tell of a lost container earlier than the stream does. */
  async #follow(): Promise<void> {
    const { engine, clock, container, signal } = this.#deps;
    while (!signal.aborted) {
      try {
        for await (const event of engine.events(container.labels, signal)) {
          const isOurs = event.type === 'container' && event.id === this.#containerId;
          if (isOurs && (event.action === 'die' || event.action === 'destroy'))
            this.#stream?.close();
        }
      } catch {
        // The engine is away; the next round asks again.
      }
      await clock.sleep(RETRY_MS, signal).catch(() => undefined);
    }
  }
}
