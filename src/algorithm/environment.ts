import { decodeEnv } from '../core/protocol/algorithm-env.ts';

/** What a node tells an algorithm container through its environment (vantage6 4.14, node/docker/task_manager.py). */
export interface AlgorithmEnvironment {
  /** JSON: `{"method", "args", "kwargs"}`. */
  readonly inputFile: string;
  /** Takes the result as JSON. */
  readonly outputFile: string;
  /** Holds the container token. */
  readonly tokenFile: string;
  /** The node's proxy with its api path, without a slash at the end. */
  readonly baseUrl: string;
}

/** Reads the variables of a container, encoded (vantage6 4.2 and later) or plain. Throws when one is missing. */
export function readEnvironment(
  env: Readonly<Record<string, string | undefined>>,
): AlgorithmEnvironment {
  const get = (name: string): string => {
    const value = env[name];
    if (value === undefined) throw new Error(`environment variable ${name} is not set`);
    return decodeEnv(value);
  };
  const host = get('HOST');
  const port = get('PORT');
  const url = `${host.includes('://') ? host : `http://${host}`}${port === '' ? '' : `:${port}`}`;
  return {
    inputFile: get('INPUT_FILE'),
    outputFile: get('OUTPUT_FILE'),
    tokenFile: get('TOKEN_FILE'),
    baseUrl: `${url}${env.API_PATH === undefined ? '' : get('API_PATH')}`.replace(/\/+$/, ''),
  };
}
