import type {
  DaemonNetwork,
  DaemonStatus,
  DaemonVpn,
  Verdict,
} from '../../core/protocol/daemon.ts';

/** What the daemon answers on its control socket. */
export interface DaemonControl {
  status(): DaemonStatus;
  /** Waits at most `waitMs` for the ladder's verdict. */
  verdict(waitMs: number): Promise<Verdict>;
  /** Runs the ladder from the renewal rung; with `force` also when the present certificate is good. */
  renew(force: boolean): Promise<Verdict>;
  vpn(): Promise<DaemonVpn>;
  /** Ends the tunnel until `connect`, a renewal or the next start of the node. */
  disconnect(): Promise<Verdict>;
  /** As disconnect, and gives the lease back: the next tunnel needs a new client config. */
  release(): Promise<Verdict>;
  /** Runs the ladder from its first rung, unless the tunnel is up. */
  connect(): Promise<Verdict>;
  network(): Promise<DaemonNetwork>;
}
