import { z } from 'zod';
import { RUN_STATUSES } from '../../core/protocol/entities.ts';
import type { ConfigEntry } from '../interfaces/records.ts';

/** What clients send over the socket. Of ids only the run's is read: everything else about a run is in the database. */
export const statusChange = z.object({ run_id: z.int().min(1), status: z.enum(RUN_STATUSES) });

export const logLine = z.object({ run_id: z.int().min(1), log: z.string().max(262_144) });

const MAX_ENTRIES = 1000;
const MAX_TEXT = 1024;

/**
 * `node_info_update` flattened as upstream stores it: a list is one row per item, an object gives its inner keys, a value is
 * one row; booleans become 0 and 1. Undefined for what is no object.
 */
export function toConfigEntries(info: unknown): readonly ConfigEntry[] | undefined {
  if (typeof info !== 'object' || info === null || Array.isArray(info)) return undefined;
  const entries: ConfigEntry[] = [];
  const add = (key: string, value: unknown): void => {
    if (Array.isArray(value)) {
      for (const item of value) add(key, item);
      return;
    }
    if (typeof value === 'object' && value !== null) {
      for (const [inner, item] of Object.entries(value)) add(inner, item);
      return;
    }
    if (entries.length >= MAX_ENTRIES || value === null || value === undefined) return;
    const text = typeof value === 'boolean' ? String(Number(value)) : `${value as string | number}`;
    entries.push({ key: key.slice(0, MAX_TEXT), value: text.slice(0, MAX_TEXT) });
  };
  for (const [key, value] of Object.entries(info)) add(key, value);
  return entries;
}
