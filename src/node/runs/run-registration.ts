import type { FamilyRun } from '../interfaces/coordinator.ts';
import type { PortLease } from '../interfaces/run-files.ts';
import { isServerAway, untilAnswered } from '../server-patience.ts';
import type { RunDeps } from './run-deps.ts';

type Deps = Pick<RunDeps, 'runs' | 'gate' | 'clock' | 'logger'>;

/**
 * The entries of one run in the server's list of addresses: made before its container starts, or as soon as there is a
 * tunnel. Its steps follow one another, and stop with the signal.
 */
export class RunRegistration {
  readonly #deps: Deps;
  readonly #run: number;
  readonly #leases: readonly PortLease[];
  readonly #signal: AbortSignal;
  readonly #over = new AbortController();
  #steps: Promise<unknown> = Promise.resolve();
  #isDone = false;
  /** True once anything was sent, by an earlier daemon too: the server may have entries of the run. */
  #wasTried = false;

  constructor(deps: Deps, run: number, leases: readonly PortLease[], signal: AbortSignal) {
    this.#deps = deps;
    this.#run = run;
    this.#leases = leases;
    this.#signal = AbortSignal.any([signal, this.#over.signal]);
  }

  /**
   * Takes over what an earlier daemon registered. When the server lists just that, nothing is sent: a peer that read the ports
   * while they are cleared and sent again would cut the flows to them.
   */
  takeOver(listed: FamilyRun['ports'] = []): void {
    this.#wasTried = true;
    this.#isDone = areListed(this.#leases, listed);
  }

  /**
   * Registers when there is a tunnel and waits until the server has acknowledged all of it, however long that takes; false,
   * at once, when the tunnel is down. Throws V6_SERVER_REFUSED.
   */
  async register(): Promise<boolean> {
    const step = this.#steps.then(() => this.#registerOnce());
    this.#steps = step.catch(() => undefined);
    return step;
  }

  async #registerOnce(): Promise<boolean> {
    if (this.#isDone || this.#leases.length === 0) return true;
    const address = await this.#deps.gate.acknowledged(this.#signal);
    if (address === undefined) return false;
    const { runs } = this.#deps;
    // As a whole it may be repeated: a port whose acknowledgement was lost is cleared before it is sent again.
    await untilAnswered(this.#deps, 'registration of ports', this.#signal, async () => {
      if (this.#wasTried) await runs.clearPorts(this.#run, this.#signal);
      this.#wasTried = true;
      for (const { tunnelPort, protocol, label } of this.#leases) {
        await runs.registerPort(
          { run: this.#run, port: tunnelPort, protocol, label },
          this.#signal,
        );
      }
    });
    this.#isDone = true;
    return true;
  }

  /** Takes the entries back, and nothing is registered from now on; a server that holds the run for ended has done so itself. */
  async withdraw(signal: AbortSignal): Promise<void> {
    this.#over.abort(new Error('the run has ended'));
    await this.#steps;
    if (!this.#wasTried) return;
    try {
      await untilAnswered(this.#deps, 'removal of ports', signal, () =>
        this.#deps.runs.clearPorts(this.#run, signal),
      );
    } catch (error) {
      if (isServerAway(error) || signal.aborted) throw error;
      this.#deps.logger.debug('The server would not clear the ports of an ended run', {
        run: this.#run,
        error,
      });
    }
  }
}

/** Whether the server lists all of these, once each, and nothing else. One that tells no protocol was given the TCP ports only. */
function areListed(leases: readonly PortLease[], listed: FamilyRun['ports']): boolean {
  const tells = listed.every(({ protocol }) => protocol !== undefined);
  const wanted = leases.filter(({ protocol }) => tells || protocol === 'tcp');
  const has = new Set(listed.map(({ port, protocol = 'tcp' }) => `${port}/${protocol}`));
  return (
    listed.length === wanted.length &&
    wanted.every(({ tunnelPort, protocol }) => has.has(`${tunnelPort}/${protocol}`))
  );
}
