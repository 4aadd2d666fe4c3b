import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';

/** The committed schema of a command's `--json` output: `server-start` for `v6 server start`. */
export async function jsonSchema(name: string): Promise<z.ZodType> {
  const file = path.join(import.meta.dirname, '../../schemas', `${name}.json`);
  const text = await readFile(file, 'utf8');
  return z.fromJSONSchema(JSON.parse(text) as Parameters<typeof z.fromJSONSchema>[0]);
}
