import type { KillContainers, NewTask } from '../../core/protocol/events.ts';
import { isRecord } from '../../core/protocol/json.ts';

/** `{id, parent_id}`; servers up to 4.1 send the bare id. Undefined when it is neither. */
export function parseNewTask(payload: unknown): NewTask | undefined {
  if (typeof payload === 'number') return { id: payload, parent_id: null };
  if (!isRecord(payload) || typeof payload.id !== 'number') return undefined;
  return {
    id: payload.id,
    parent_id: typeof payload.parent_id === 'number' ? payload.parent_id : null,
  };
}

/** Undefined when it is damaged: a kill that cannot be read kills nothing. */
export function parseKill(payload: unknown): KillContainers | undefined {
  if (!isRecord(payload) || typeof payload.collaboration_id !== 'number') return undefined;
  const { collaboration_id, node_id, kill_list: list } = payload;
  if (node_id !== undefined && typeof node_id !== 'number') return undefined;
  if (list !== undefined && list !== null && !Array.isArray(list)) return undefined;
  const entries = (list ?? undefined)?.map(killEntry);
  if (entries?.includes(undefined)) return undefined;
  return {
    collaboration_id,
    ...(node_id === undefined ? {} : { node_id }),
    ...(entries === undefined ? {} : { kill_list: entries.filter((entry) => entry !== undefined) }),
  };
}

function killEntry(value: unknown): NonNullable<KillContainers['kill_list']>[number] | undefined {
  if (!isRecord(value)) return undefined;
  const { task_id, run_id, organization_id } = value;
  if (
    typeof task_id !== 'number' ||
    typeof run_id !== 'number' ||
    typeof organization_id !== 'number'
  )
    return undefined;
  return { task_id, run_id, organization_id };
}
