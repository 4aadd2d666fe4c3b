import { V6Error } from '../../core/errors.ts';
import type { NodeIdentity } from '../auth/identity.ts';
import { assertOwnRun } from '../auth/permissions.ts';
import type { PortRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';
import { getRun } from './runs.ts';

/**
 * Registers a tunnel port of a run, before or after its container starts. The same port of the same run again is fine; one that
 * another run holds is V6_REQUEST_CONFLICT. Throws V6_REQUEST_NOT_FOUND, V6_AUTH_FORBIDDEN too.
 */
export async function registerPort(
  store: Store,
  node: NodeIdentity,
  port: Omit<PortRecord, 'id'>,
): Promise<PortRecord> {
  return store.transaction(async (tx) => {
    const run = await getRun(tx, port.runId);
    assertOwnRun(node, run);
    if (run.finishedAt !== null)
      throw new V6Error('V6_REQUEST_CONFLICT', `Run ${run.id} has ended: ${run.status}`);
    const holder = await tx.ports.findHolder(node.id, port.protocol, port.port);
    if (holder !== undefined && holder.runId !== run.id) {
      throw new V6Error(
        'V6_REQUEST_CONFLICT',
        `Port ${port.port}/${port.protocol} of this node belongs to run ${holder.runId}`,
        { details: { run: holder.runId } },
      );
    }
    if (holder === undefined) {
      const id = await tx.ports.create({ ...port, nodeId: node.id });
      return { ...port, id };
    }
    await tx.ports.setLabel(holder.id, port.label);
    return { ...holder, label: port.label };
  });
}

/** Removes all ports of a run of this node; none is fine. Throws V6_REQUEST_NOT_FOUND, V6_AUTH_FORBIDDEN. */
export async function clearPorts(store: Store, node: NodeIdentity, runId: number): Promise<void> {
  await store.transaction(async (tx) => {
    assertOwnRun(node, await getRun(tx, runId));
    await tx.ports.removeOfRuns([runId]);
  });
}
