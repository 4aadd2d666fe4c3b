import { z } from 'zod';
import { RUN_STATUSES } from '../../core/protocol/entities.ts';
import { printable } from '../http/plain-data.ts';
import type { NodeReport } from '../interfaces/metrics.ts';
import type { ConfigEntry } from '../interfaces/records.ts';

/** Ids are 32-bit integers in PostgreSQL. */
const runId = z.int().min(1).max(2_147_483_647);

/** What clients send over the socket. Of ids only the run's is read: everything else about a run is in the database. */
export const statusChange = z.object({ run_id: runId, status: z.enum(RUN_STATUSES) });

export const logLine = z.object({
  run_id: runId,
  log: z.string().max(262_144).transform(printable),
});

const MAX_ENTRIES = 1000;
const MAX_TEXT = 1024;
/** Values that are looked at: empty lists and nulls give no entry, but cost time. */
const MAX_VALUES = 20_000;
/** Upstream's own go three levels deep. */
const MAX_DEPTH = 8;

/**
 * `node_info_update` flattened as upstream stores it: a list is one row per item, an object gives its inner keys, a value is
 * one row; booleans become 0 and 1. Undefined for what is no object. What is too deep, too long or binary is left out.
 */
export function toConfigEntries(info: unknown): readonly ConfigEntry[] | undefined {
  if (typeof info !== 'object' || info === null || Array.isArray(info) || isBinary(info))
    return undefined;
  const entries: ConfigEntry[] = [];
  let left = MAX_VALUES;
  const add = (key: string, value: unknown, depth: number): void => {
    left -= 1;
    if (left < 0 || entries.length >= MAX_ENTRIES || value === null || value === undefined) return;
    if (typeof value === 'object') {
      if (depth >= MAX_DEPTH || isBinary(value)) return;
      for (const [inner, item] of Object.entries(value))
        add(Array.isArray(value) ? key : inner, item, depth + 1);
      return;
    }
    const text = typeof value === 'boolean' ? String(Number(value)) : `${value as string | number}`;
    entries.push({
      key: printable(key.slice(0, MAX_TEXT)),
      value: printable(text.slice(0, MAX_TEXT)),
    });
  };
  for (const [key, value] of Object.entries(info)) add(key, value, 0);
  return entries;
}

/** Binary attachments of socket.io. */
const isBinary = (value: object): boolean =>
  ArrayBuffer.isView(value) || value instanceof ArrayBuffer;

const percent = z.number().min(0).max(1_000_000);
const amount = z.number().min(0).max(Number.MAX_SAFE_INTEGER);
const amounts = z.array(amount).max(64);
/** Labels of figures: short, and of few kinds. */
const label = z
  .string()
  .max(64)
  .regex(/^[\w .()-]*$/)
  .catch('unknown');

/** `node_metrics_update` of 4.9 and newer; other keys are left out, a wrong value drops the event. */
export const nodeReport = z
  .object({
    os: label,
    platform: label,
    cpu_percent: percent.optional(),
    memory_percent: percent.optional(),
    memory_total: amount.optional(),
    memory_available: amount.optional(),
    num_algorithm_containers: amount.optional(),
    cpu_count: amount.nullish(),
    gpu_count: amount.optional(),
    gpu_load: amounts.optional(),
    gpu_memory_used: amounts.optional(),
    gpu_memory_free: amounts.optional(),
    gpu_temperature: amounts.optional(),
  })
  .transform(({ os, platform, ...rest }): NodeReport => {
    const entries = Object.entries(rest);
    return {
      os,
      platform,
      values: Object.fromEntries(
        entries.filter((entry): entry is [string, number] => typeof entry[1] === 'number'),
      ),
      gpus: Object.fromEntries(
        entries.filter((entry): entry is [string, number[]] => Array.isArray(entry[1])),
      ),
    };
  });
