import type { AlgorithmStatusChange } from '../../core/protocol/events.ts';
import type { NodeIdentity } from '../auth/identity.ts';
import type { RunRecord } from '../interfaces/records.ts';
import { appendLog, isOwn } from '../services/runs.ts';
import { logLine, statusChange, toConfigEntries } from './payloads.ts';
import type { SocketDeps, TaskSocket } from './sockets.ts';

/**
 * What a node sends. Nothing of it is trusted beyond the run's id, which must be one of its own; what does not fit is dropped
 * and noted, since an event has no answer.
 */
export function handleNodeEvents(socket: TaskSocket, node: NodeIdentity, deps: SocketDeps): void {
  const { events, logger, presence, store } = deps;
  const on = (
    event: 'ping' | 'algorithm_status_change' | 'algorithm_log' | 'node_info_update' | 'message',
    work: (payload: unknown) => Promise<boolean>,
  ) => {
    const handle = async (payload: unknown): Promise<void> => {
      try {
        const isFine = await work(payload);
        if (!isFine) logger.warn('An event of a node was dropped', { node: node.id, event });
      } catch (error) {
        logger.error('An event of a node failed', { node: node.id, event, error });
      }
    };
    socket.on(event, (payload?: unknown) => void handle(payload));
  };

  on('ping', async () => {
    await presence.seen('node', node.id);
    return true;
  });

  on('algorithm_status_change', async (payload) => {
    const parsed = statusChange.safeParse(payload);
    const run = parsed.success ? await store.runs.find(parsed.data.run_id) : undefined;
    if (!parsed.success || run === undefined || !isOwn(node, run)) return false;
    if (run.isKillPending) await store.runs.update(run.id, { isKillPending: false });
    const change = toStatusChange(run, node, parsed.data.status);
    events.publish({ type: 'algorithm-status', change });
    return true;
  });

  on('algorithm_log', async (payload) => {
    const parsed = logLine.safeParse(payload);
    if (!parsed.success) return false;
    const { run_id: runId, log } = parsed.data;
    const run = await appendLog({ store }, node, { runId, text: log });
    if (run === undefined) return false;
    const { collaborationId } = node;
    const line = { run_id: run.id, task_id: run.taskId, log };
    events.publish({ type: 'algorithm-log', collaborationId, line });
    return true;
  });

  on('node_info_update', async (payload) => {
    const config = toConfigEntries(payload);
    if (config === undefined) return false;
    await store.nodes.update(node.id, { config });
    return true;
  });

  on('message', async (payload) => {
    logger.debug('A node says something', { node: node.id, length: String(payload).length });
    return true;
  });
}

/** Upstream's fields, all but the status from the database. */
function toStatusChange(run: RunRecord, node: NodeIdentity, status: string): AlgorithmStatusChange {
  return {
    status,
    run_id: run.id,
    task_id: run.taskId,
    job_id: run.jobId,
    collaboration_id: run.collaborationId,
    node_id: node.id,
    organization_id: run.organizationId,
    parent_id: run.parentId,
  };
}
