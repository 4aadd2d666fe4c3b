import type {
  DaemonNetwork,
  DaemonStatus,
  DaemonVpn,
  Verdict,
} from '../../core/protocol/daemon.ts';

/**
 * A running daemon as the command line sees it, over its control socket. Every method throws V6_NODE_NOT_RUNNING when nobody
 * answers, V6_NET_PRIVILEGE when we may not open the socket, V6_NODE_NOT_READY when the answer takes too long, and whatever
 * the daemon itself answers with.
 */
export interface DaemonClient {
  status(): Promise<DaemonStatus>;
  /** Answers when the ladder has a verdict, or after `waitMs` (0–120000) with what is known. */
  verdict(waitMs: number, signal?: AbortSignal): Promise<Verdict>;
  renew(force: boolean, signal?: AbortSignal): Promise<Verdict>;
  vpn(): Promise<DaemonVpn>;
  disconnect(signal?: AbortSignal): Promise<Verdict>;
  release(signal?: AbortSignal): Promise<Verdict>;
  connect(signal?: AbortSignal): Promise<Verdict>;
  network(): Promise<DaemonNetwork>;
}
