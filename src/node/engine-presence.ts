import type { Clock } from '../core/clock.ts';
import type { Engine, EngineInfo } from '../core/engine/engine.ts';
import type { Logger } from '../core/logger.ts';
import { isEngineThere } from './engine-patience.ts';

export interface EnginePresenceDeps {
  readonly engine: Pick<Engine, 'info'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What ends the runs when the node stops: the node itself, the engine that goes as well, or nothing. */
export type NodeStop = 'stopped' | 'engine-stopped' | 'left';

/** What the daemon knows of its engine: how it treats containers when it stops, and whether it is there. */
export class EnginePresence {
  readonly #deps: EnginePresenceDeps;
  #info: EngineInfo | undefined;
  #stop: NodeStop = 'stopped';

  constructor(deps: EnginePresenceDeps) {
    this.#deps = deps;
  }

  /** Asks the engine once, and says how its restarts can be survived. Throws V6_ENGINE_*. */
  async learn(): Promise<void> {
    this.#info = await this.#deps.engine.info();
    if (this.#info.liveRestore) return;
    this.#deps.logger.info(
      'A restart of the container engine ends the algorithms that run; with "live-restore": true in its configuration (daemon.json) they go on',
      { engine: this.#info.version, liveRestore: false },
    );
  }

  /** As `v6 node status` shows it; null until the engine was asked. */
  status(): { readonly version: string; readonly liveRestore: boolean } | null {
    if (this.#info === undefined) return null;
    const { version, liveRestore } = this.#info;
    return { version, liveRestore };
  }

  /**
   * Looks whether the engine answers, and decides what becomes of the runs: an engine that stops ends them, unless it leaves
   * containers alone; then they go on, and the next daemon carries on.
   */
  async beginStop(): Promise<NodeStop> {
    const { engine, clock, logger } = this.#deps;
    if (this.#info === undefined || (await isEngineThere(engine, clock))) {
      this.#stop = 'stopped';
    } else {
      this.#stop = this.#info.liveRestore ? 'left' : 'engine-stopped';
      logger.warn(
        'The container engine does not answer: containers, networks and rules of this node stay until its next start',
        { liveRestore: this.#info.liveRestore },
      );
    }
    return this.#stop;
  }

  /** What `beginStop` decided. */
  get nodeStop(): NodeStop {
    return this.#stop;
  }

  /** A step of the stop that needs the engine; without an engine the other step, or none. */
  async unlessGone(step: () => Promise<void>, otherwise?: () => Promise<void>): Promise<void> {
    if (this.#stop === 'stopped') await step();
    else await otherwise?.();
  }
}
