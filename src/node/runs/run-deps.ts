import type { Clock } from '../../core/clock.ts';
import type { NodeConfig } from '../../core/config/node-config.ts';
import type { Engine } from '../../core/engine/engine.ts';
import type { Scope } from '../../core/labels.ts';
import type { Logger } from '../../core/logger.ts';
import type { Slot } from '../../core/vpn/slot.ts';
import type { Payloads } from '../encryption/payloads.ts';
import type { TaskFamilies } from '../family/task-families.ts';
import type {
  CoordinatorEvents,
  CoordinatorOrganizations,
  CoordinatorRuns,
  NodeIdentity,
  OpenRun,
} from '../interfaces/coordinator.ts';
import type { HostView } from '../interfaces/host-view.ts';
import type { RunFiles } from '../interfaces/run-files.ts';
import type { VpnClient } from '../interfaces/vpn-client.ts';
import type { PortLeases } from '../ports/leases.ts';
import type { ProxyCaller } from '../proxy/slot-proxy.ts';
import type { TunnelGate } from '../tunnel-gate.ts';

/** What carrying out runs needs. */
export interface RunDeps {
  readonly node: { readonly scope: Scope; readonly name: string };
  readonly identity: NodeIdentity;
  readonly config: NodeConfig;
  readonly engine: Pick<Engine, 'containers' | 'images' | 'info'>;
  readonly runs: CoordinatorRuns;
  readonly organizations: Pick<CoordinatorOrganizations, 'list'>;
  readonly events: Pick<CoordinatorEvents, 'emitStatus' | 'emitLog' | 'connected' | 'connection'>;
  readonly payloads: Payloads;
  readonly vpn: Pick<VpnClient, 'removeRun' | 'takeRefusals'>;
  readonly families: Pick<TaskFamilies, 'join' | 'leave'>;
  readonly gate: Pick<TunnelGate, 'enabled' | 'ready' | 'acknowledged'>;
  readonly slots: {
    acquire(run: number): Promise<Slot>;
    release(run: number): void;
  };
  readonly ports: PortLeases;
  readonly proxy: {
    assign(index: number, caller: ProxyCaller): void;
    withdraw(index: number): void;
  };
  readonly files: RunFiles;
  readonly host: Pick<HostView, 'listeningPorts'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The parent task of a run's task; null for a task of a user. */
export function parentOf({ task }: Pick<OpenRun, 'task'>): number | null {
  return task.parent?.id ?? null;
}
