import { readFile, writeFile } from 'node:fs/promises';
import type { Unknowns } from '../core/protocol/json.ts';
import { AlgorithmClient } from './client.ts';
import { type AlgorithmEnvironment, readEnvironment } from './environment.ts';
import { parseInput } from './input.ts';
import { readIdentity } from './token.ts';

/** What a method of an algorithm is given. */
export interface MethodContext {
  readonly client: AlgorithmClient;
  readonly args: readonly unknown[];
  readonly kwargs: Unknowns;
  /** Aborts when the container is asked to stop. */
  readonly signal: AbortSignal;
}

/** A method by its name in the task's input; what it returns is written as JSON. */
export type Methods = Readonly<Record<string, (context: MethodContext) => Promise<unknown>>>;

/** Reads the input, calls the method that it names and writes the result. Throws whatever the method throws. */
export async function runAlgorithm(
  methods: Methods,
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<void> {
  const environment = readEnvironment(env);
  const client = await connectClient(environment);
  const { method, args, kwargs } = parseInput(await readFile(environment.inputFile, 'utf8'));
  if (!Object.hasOwn(methods, method))
    throw new Error(
      `there is no method ${JSON.stringify(method)}; there are ${Object.keys(methods).join(', ')}`,
    );
  const result = await methods[method]?.({ client, args, kwargs, signal });
  await writeFile(environment.outputFile, JSON.stringify(result ?? null), 'utf8');
}

/** A client out of the container's files. */
export async function connectClient(environment: AlgorithmEnvironment): Promise<AlgorithmClient> {
  const token = (await readFile(environment.tokenFile, 'utf8')).trim();
  return new AlgorithmClient({
    baseUrl: environment.baseUrl,
    token,
    identity: readIdentity(token),
  });
}
