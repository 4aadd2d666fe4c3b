import {
  type Collaboration,
  type NodeEntity,
  type Organization,
  type Relation,
  type Result,
  RUN_STATUSES,
  type Run,
  type RunPort,
} from '../../core/protocol/entities.ts';
import { isRecord, type Unknowns } from '../../core/protocol/json.ts';
import { strangeAnswer } from './user-session.ts';

/** Parsers of the records that users read; they check what we rely on and throw V6_SERVER_ANSWER. */

function number(item: Unknowns, key: string, what: string): number {
  const value = item[key];
  if (typeof value !== 'number') throw strangeAnswer(what);
  return value;
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const textOrNull = (value: unknown): string | null => (typeof value === 'string' ? value : null);

function relation(item: Unknowns, key: string, what: string): Relation {
  const value = item[key];
  if (!isRecord(value)) throw strangeAnswer(what);
  return { id: number(value, 'id', what), link: text(value.link), methods: [] };
}

export function parseOrganization(item: Unknowns): Organization {
  return {
    id: number(item, 'id', '/organization'),
    name: text(item.name),
    public_key: text(item.public_key),
  };
}

export function parseCollaboration(item: Unknowns): Collaboration {
  return {
    id: number(item, 'id', '/collaboration'),
    name: text(item.name),
    // Upstream stores 0 and 1, and answers JSON booleans.
    encrypted: item.encrypted === true || item.encrypted === 1,
  };
}

export function parseNode(item: Unknowns): NodeEntity {
  const config = Array.isArray(item.config) ? item.config.filter(isRecord) : [];
  return {
    id: number(item, 'id', '/node'),
    name: text(item.name),
    type: 'node',
    status: item.status === 'online' || item.status === 'offline' ? item.status : null,
    ip: textOrNull(item.ip),
    last_seen: textOrNull(item.last_seen),
    organization: relation(item, 'organization', '/node'),
    collaboration: relation(item, 'collaboration', '/node'),
    config: config.map(({ key, value }) => ({ key: text(key), value: text(value) })),
  };
}

export function parseRun(item: Unknowns): Run {
  const node = isRecord(item.node) ? item.node : {};
  const ports = Array.isArray(item.ports) ? item.ports.filter(isRecord) : [];
  return {
    id: number(item, 'id', '/run'),
    status: RUN_STATUSES.find((known) => known === item.status) ?? 'unknown error',
    input: text(item.input),
    log: textOrNull(item.log),
    assigned_at: textOrNull(item.assigned_at),
    started_at: textOrNull(item.started_at),
    finished_at: textOrNull(item.finished_at),
    blob_storage_used: item.blob_storage_used === true,
    organization: relation(item, 'organization', '/run'),
    task: relation(item, 'task', '/run'),
    node: {
      ...(typeof node.id === 'number' ? { id: node.id } : {}),
      name: text(node.name),
      ip: textOrNull(node.ip),
      status: textOrNull(node.status),
    },
    ports: ports.map(parsePort),
  };
}

function parsePort(item: Unknowns): RunPort {
  const { protocol } = item;
  return {
    id: number(item, 'id', '/run'),
    port: number(item, 'port', '/run'),
    label: textOrNull(item.label),
    ...(protocol === 'tcp' || protocol === 'udp' ? { protocol } : {}),
  };
}

export function parseResult(item: Unknowns): Result {
  return {
    id: number(item, 'id', '/result'),
    result: textOrNull(item.result),
    blob_storage_used: item.blob_storage_used === true,
    run: relation(item, 'run', '/result'),
    task: relation(item, 'task', '/result'),
  };
}
