import { whenAborted } from '../../core/abort.ts';
import type { Clock } from '../../core/clock.ts';
import type { Engine } from '../../core/engine/engine.ts';
import { toV6Error, V6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Slot } from '../../core/vpn/slot.ts';
import type { Drift } from '../interfaces/drift.ts';
import type { ClientContainerKeeper } from './client-container.ts';
import { CommandStream, isLostStream } from './command-stream.ts';
import { slotLost } from './failures.ts';
import { watchPulse } from './pulse.ts';
import { checkCommand, readClaims } from './slot-claims.ts';

const SET_UP = '. /usr/local/lib/v6/client.sh; only_shell';
/** The first word over a new stream, ms: a client that started just now has its rules within 10 s (client.sh, ready). */
const FIRST_WORD_MS = 12_000;
/** How long the engine's restart policy may take, ms: it waits longer with each crash. */
const RESTART_PATIENCE_MS = 3000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 5000;

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
  /** Makes all of the desired state true over a new stream; the slots' networks are connected. */
  readonly apply: (stream: CommandStream) => Promise<void>;
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

  /**
   * Runs a command that may be repeated; to be called inside the queue. A lost stream is opened again first. A command that depends
   * on what has been applied is made when it runs: a stream that was opened anew has applied all of it.
   */
  async run(command: string | (() => string)): Promise<readonly string[]> {
    const text = (): string => (typeof command === 'string' ? command : command());
    const stream = this.#stream;
    if (stream && !stream.isLost) {
      try {
        return await stream.run(text());
      } catch (error) {
        if (!isLostStream(error)) throw error;
      }
    }
    return (await this.#open()).run(text());
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
    void watchPulse(this.#deps, () => this.#stream);
  }

  /**
   * Looks at the container's networks, gateway addresses, relays and default route, and repairs what differs; to be called
   * inside the queue. Throws V6_VPN_CLIENT_FAILED and V6_ENGINE_* when that cannot be done.
   */
  async reconcile(): Promise<readonly Drift[]> {
    const { container, slots } = this.#deps;
    const wanted = slots();
    await container.goOn();
    // Gone, or gone by its name: the next command brings a new one.
    if ((await container.find())?.state !== 'running') this.#stream?.close();
    const networks = await container.align(wanted);
    const { lost, drift } = readClaims(await this.run(checkCommand(wanted)), wanted);
    const failures = lost.map((slot) => ({
      what: `slot ${slot.network} in the VPN client`,
      found: 'no interface',
      wanted: slot.client,
      failure: slotLost(slot),
    }));
    // A network that was connected just now has nothing claimed yet: that is the same repair, said once.
    const told = new Set(networks.map(({ what }) => what));
    return [
      ...networks,
      ...drift.filter(({ what }) => ![...told].some((network) => isPartOf(what, network))),
      ...failures,
    ];
  }

  close(): void {
    this.#stream?.close();
  }

  async #open(): Promise<CommandStream> {
    const { engine, container, signal, apply, slots } = this.#deps;
    signal.throwIfAborted();
    this.#stream?.close();
    const id = await this.#runningContainer();
    const lines = await engine.containers.openStream(id, ['/bin/sh']);
    const stream = new CommandStream(lines, SET_UP);
    // Nobody else knows it yet: a client that says nothing would hold up whoever lets it go.
    const takeBack = whenAborted(signal, () => stream.close());
    try {
      await stream.run('ready', FIRST_WORD_MS);
      await container.align(slots());
      await apply(stream);
      signal.throwIfAborted();
    } catch (error) {
      // Half of the desired state is none: the next attempt begins anew.
      stream.close();
      throw error;
    } finally {
      takeBack();
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
      if (found?.state === 'paused') await container.goOn();
      // Only a container that the engine is about to start comes up without us.
      else if (found?.state !== 'restarting' && found?.state !== 'removing') break;
      await clock.sleep(100, signal);
    }
    await container.revive(slots());
    const revived = await container.find();
    if (revived) return revived.id;
    throw new V6Error('V6_VPN_CLIENT_FAILED', 'The VPN client went away as it was started');
  }

  /** Until it works or we are let go. */
  async #recover(): Promise<void> {
    const { signal, logger, container } = this.#deps;
    if (this.#isRecovering || signal.aborted || this.#stream?.isLost === false) return;
    this.#isRecovering = true;
    logger.warn('The VPN client was lost; bringing it back', { container: container.name });
    const since = this.#deps.clock.now().getTime();
    try {
      for (let pauseMs = FIRST_PAUSE_MS; !(await this.#tryAgain(pauseMs)); ) {
        await this.#deps.clock.sleep(pauseMs, signal);
        pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
      }
      const durationMs = this.#deps.clock.now().getTime() - since;
      logger.info('The VPN client is back', { container: container.name, durationMs });
    } catch {
      // Let go meanwhile.
    } finally {
      this.#isRecovering = false;
    }
    // Lost again before that was said: nobody else looks.
    void this.#recover();
  }

  async #tryAgain(pauseMs: number): Promise<boolean> {
    const { serial, logger, container, signal } = this.#deps;
    signal.throwIfAborted();
    try {
      await serial(async () => {
        if (this.#stream?.isLost !== false) await this.#open();
      });
      return true;
    } catch (error) {
      signal.throwIfAborted();
      // It runs, and says nothing: nobody but us will end it.
      if (isLostStream(error)) await container.end().catch(() => undefined);
      const say = pauseMs === FIRST_PAUSE_MS || pauseMs === LONGEST_PAUSE_MS ? 'warn' : 'debug';
      logger[say]('The VPN client could not be brought back; trying again', {
        code: toV6Error(error).code,
        error,
      });
      return false;
    }
  }

  /** The engine's events tell of a lost container earlier than the stream does. */
  async #follow(): Promise<void> {
    const { engine, clock, container, signal, logger } = this.#deps;
    while (!signal.aborted) {
      try {
        for await (const event of engine.events(container.labels, signal)) {
          if (event.type !== 'container' || event.id !== this.#containerId) continue;
          if (event.action === 'die' || event.action === 'destroy') this.#stream?.close();
          if (event.action === 'pause' && (await container.goOn()))
            logger.warn('The VPN client was paused; it goes on', { container: container.name });
        }
      } catch {
        // The engine is away; the next round asks again.
      }
      await clock.sleep(LONGEST_PAUSE_MS / 5, signal).catch(() => undefined);
    }
  }
}

function isPartOf(what: string, network: string): boolean {
  const name = /v6[az]-\S+/.exec(network)?.[0];
  return name !== undefined && what.split(' ').includes(name);
}
