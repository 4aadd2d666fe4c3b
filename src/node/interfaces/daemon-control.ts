import type { DaemonNetwork, DaemonStatus, Verdict } from '../../core/protocol/daemon.ts';

/** What the daemon answers on its control socket. */
export interface DaemonControl {
  status(): DaemonStatus;
  /** Waits at most `waitMs` for the ladder's verdict. */
  verdict(waitMs: number): Promise<Verdict>;
  /** Runs the ladder from the renewal rung; with `force` also when the present certificate is good. */
  renew(force: boolean): Promise<Verdict>;
  network(): Promise<DaemonNetwork>;
}
