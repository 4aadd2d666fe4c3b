import type { Clock } from '../core/clock.ts';
import type { NodeConfig } from '../core/config/node-config.ts';
import type { Context } from '../core/context.ts';
import type { EncryptionDeps } from '../core/crypto/key-ring.ts';
import type { Engine } from '../core/engine/engine.ts';
import type { Logger } from '../core/logger.ts';
import type { Remote } from '../core/vpn/tunnel.ts';
import type { Coordinator } from './interfaces/coordinator.ts';
import type { DaemonControl } from './interfaces/daemon-control.ts';
import type { HostFirewall } from './interfaces/host-firewall.ts';
import type { HostView, NetworkChoiceStore } from './interfaces/host-view.ts';
import type { RunFiles } from './interfaces/run-files.ts';
import type { VpnClient } from './interfaces/vpn-client.ts';
import type { SlotProxy } from './proxy/slot-proxy.ts';
import type { OwnNetworks } from './slots/own-networks.ts';
import type { CredentialLadder } from './vpn/ladder.ts';

/** What the daemon gets from outside: `compose.ts` wires it, tests give fakes. */
export interface DaemonDeps {
  readonly context: Pick<Context, 'name' | 'scope'>;
  readonly config: NodeConfig;
  readonly engine: Engine;
  readonly coordinator: Coordinator;
  readonly firewall: HostFirewall;
  readonly host: HostView;
  readonly choices: NetworkChoiceStore;
  readonly files: RunFiles;
  readonly proxy: SlotProxy;
  /** What an encrypted collaboration needs; absent when `encryption.enabled` is not set. */
  readonly encryption?: EncryptionDeps;
  readonly clock: Clock;
  readonly logger: Logger;
  createVpnClient(networks: OwnNetworks): VpnClient;
  /** Whether the started VPN client has the tun device: only the engine knows whether the host has one. */
  hasTun(vpnClient: VpnClient): Promise<boolean>;
  /** Resolves when this process cannot reach the engine any more, whatever becomes of that; rejects with the signal. */
  untilEngineIsLost?(signal: AbortSignal): Promise<void>;
  createLadder(
    vpnClient: VpnClient,
    onRemotes: (remotes: readonly Remote[]) => Promise<void>,
  ): CredentialLadder;
  /** Starts to answer on the control socket. */
  serveControl(control: DaemonControl): Promise<{ close(): Promise<void> }>;
}
