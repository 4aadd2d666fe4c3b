import type { AlgorithmStatusChange } from '../../core/protocol/events.ts';
import type { NodeIdentity } from '../auth/identity.ts';
import type { RunRecord } from '../interfaces/records.ts';
import { appendLog, isOwn } from '../services/runs.ts';
import {
  answerOthers,
  type EventAnswer,
  invalidPayload,
  received,
  TAKEN,
  unknownRun,
} from './acknowledge.ts';
import { logLine, nodeReport, statusChange, toConfigEntries } from './payloads.ts';
import type { SocketDeps, TaskSocket } from './sockets.ts';

const NODE_EVENTS = [
  'ping',
  'algorithm_status_change',
  'algorithm_log',
  'node_info_update',
  'node_metrics_update',
  'message',
] as const;

/**
 * What a node sends. Nothing of it is trusted beyond the run's id, which must be one of its own; what does not fit is dropped
 * and noted, and refused to a sender that asks for an acknowledgement.
 */
export function handleNodeEvents(socket: TaskSocket, node: NodeIdentity, deps: SocketDeps): void {
  const { logger } = deps;
  const works = nodeWorks(node, deps);
  for (const event of NODE_EVENTS) {
    const handle = async (...args: unknown[]): Promise<void> => {
      const { payload, answer } = received(args);
      try {
        const outcome = await works[event](payload);
        if (outcome.status !== 200) {
          const { code } = outcome;
          logger.warn('An event of a node was dropped', { node: node.id, event, code });
        }
        answer(outcome);
      } catch (error) {
        logger.error('An event of a node failed', { node: node.id, event, error });
        answer({ status: 500, msg: 'Internal error of the server', code: 'V6_BUG' });
      }
    };
    socket.on(event, (...args: unknown[]) => void handle(...args));
  }
  answerOthers(socket, new Set(NODE_EVENTS));
}

type Works = Readonly<
  Record<(typeof NODE_EVENTS)[number], (payload: unknown) => Promise<EventAnswer>>
>;

function nodeWorks(node: NodeIdentity, deps: SocketDeps): Works {
  const { events, logger, presence, store } = deps;
  return {
    ping: async () => {
      await presence.seen('node', node.id);
      return TAKEN;
    },
    algorithm_status_change: async (payload) => {
      const parsed = statusChange.safeParse(payload);
      if (!parsed.success) return invalidPayload(parsed.error);
      const run = await store.runs.find(parsed.data.run_id);
      if (run === undefined || !isOwn(node, run)) return unknownRun(parsed.data.run_id);
      if (run.isKillPending) await store.runs.update(run.id, { isKillPending: false });
      const change = toStatusChange(run, node, parsed.data.status);
      events.publish({ type: 'algorithm-status', change });
      return TAKEN;
    },
    algorithm_log: async (payload) => {
      const parsed = logLine.safeParse(payload);
      if (!parsed.success) return invalidPayload(parsed.error);
      const { run_id: runId, log } = parsed.data;
      const run = await appendLog({ store }, node, { runId, text: log });
      if (run === undefined) return unknownRun(runId);
      const { collaborationId } = node;
      const line = { run_id: run.id, task_id: run.taskId, log };
      events.publish({ type: 'algorithm-log', collaborationId, line });
      return TAKEN;
    },
    node_info_update: async (payload) => {
      const config = toConfigEntries(payload);
      if (config === undefined) return NO_OBJECT;
      await store.nodes.update(node.id, { config });
      return TAKEN;
    },
    node_metrics_update: async (payload) => {
      const parsed = nodeReport.safeParse(payload);
      if (!parsed.success) return invalidPayload(parsed.error);
      deps.metrics?.nodeReported(node.id, parsed.data);
      return TAKEN;
    },
    message: async (payload) => {
      const length = typeof payload === 'string' ? payload.length : 0;
      logger.debug('A node says something', { node: node.id, length });
      return TAKEN;
    },
  };
}

const NO_OBJECT: EventAnswer = {
  status: 400,
  msg: 'The payload does not fit its schema',
  code: 'V6_REQUEST_INVALID',
  errors: { _schema: ['Not an object.'] },
};

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
