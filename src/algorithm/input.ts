import { isRecord, type Unknowns } from '../core/protocol/json.ts';

/** What a task asks of an algorithm. */
export interface AlgorithmInput {
  readonly method: string;
  readonly args: readonly unknown[];
  readonly kwargs: Unknowns;
}

/** The text of an input file. Throws when it is not `{"method", "args"?, "kwargs"?}`. */
export function parseInput(text: string): AlgorithmInput {
  const value: unknown = JSON.parse(text);
  if (!isRecord(value) || typeof value.method !== 'string')
    throw new Error('the input names no method');
  const { method, args = [], kwargs = {} } = value;
  if (!Array.isArray(args)) throw new Error('args of the input is not a list');
  if (!isRecord(kwargs)) throw new Error('kwargs of the input is not an object');
  return { method, args, kwargs };
}

/** An input as the `input` field of a task wants it: base64 of its JSON. */
export function encodeInput(input: AlgorithmInput): string {
  return Buffer.from(JSON.stringify(input), 'utf8').toString('base64');
}

/** A list of organization ids out of kwargs. Throws when it is none or holds one twice. */
export function organizationsOf(kwargs: Unknowns): readonly number[] {
  const { organizations } = kwargs;
  if (!Array.isArray(organizations) || !organizations.every((id) => Number.isInteger(id)))
    throw new Error('organizations is not a list of organization ids');
  if (new Set(organizations).size !== organizations.length)
    throw new Error('organizations holds one id twice');
  return organizations as number[];
}

/** A whole number out of kwargs, within limits, or the fallback when it is absent. */
export function integerOf(
  kwargs: Unknowns,
  name: string,
  limits: { readonly min: number; readonly max: number; readonly fallback: number },
): number {
  const value = kwargs[name] ?? limits.fallback;
  if (!Number.isInteger(value) || (value as number) < limits.min || (value as number) > limits.max)
    throw new Error(`${name} is not a whole number from ${limits.min} to ${limits.max}`);
  return value as number;
}
