import type {
  AddressChange,
  AlgorithmStatusChange,
  KillContainers,
  NewTask,
} from '../../core/protocol/events.ts';
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

/** What of a change of a run's state is looked at; undefined when it is damaged. */
export function parseStatusChange(
  payload: unknown,
): Pick<AlgorithmStatusChange, 'task_id' | 'parent_id' | 'node_id' | 'status'> | undefined {
  if (!isRecord(payload)) return undefined;
  const { task_id, parent_id, node_id, status } = payload;
  if (typeof task_id !== 'number' || typeof node_id !== 'number' || typeof status !== 'string')
    return undefined;
  return { task_id, node_id, status, parent_id: typeof parent_id === 'number' ? parent_id : null };
}

/** Undefined when it is damaged. */
export function parseAddressChange(payload: unknown): AddressChange | undefined {
  if (!isRecord(payload)) return undefined;
  const { node_id, collaboration_id } = payload;
  if (typeof node_id !== 'number' || typeof collaboration_id !== 'number') return undefined;
  return { node_id, collaboration_id };
}
