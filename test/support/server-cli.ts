import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect } from 'vitest';
import { jsonSchema } from './json-schema.ts';
import { type CliResult, runCli } from './run-cli.ts';

/** `v6 server …` with the home of one test, and without a container engine unless one is asked for. */
export class ServerCli {
  readonly home: string;
  readonly name: string;
  /** Where DOCKER_HOST leads; nowhere by default. */
  readonly engine: string | undefined;

  constructor(home: string, name: string, options: { readonly hasEngine?: boolean } = {}) {
    this.home = home;
    this.name = name;
    this.engine = options.hasEngine === true ? undefined : `unix://${home}/no-engine.sock`;
  }

  get configFile(): string {
    return path.join(this.home, '.config/vantage6/server', `${this.name}.yaml`);
  }

  get dataDir(): string {
    return path.join(this.home, '.local/share/vantage6/server', this.name);
  }

  /** A command on the server of this test: `--name` and `--user` are added. */
  run(command: string, args: readonly string[] = [], input = ''): Promise<CliResult> {
    return this.bare([...command.split(' '), ...args, '--name', this.name, '--user'], input);
  }

  bare(args: readonly string[], input = ''): Promise<CliResult> {
    const env = {
      HOME: this.home,
      ...(this.engine === undefined ? {} : { DOCKER_HOST: this.engine }),
    };
    return runCli(['server', ...args], { env, input });
  }

  /** The document of `--json`, checked against its schema. */
  async json<T>(command: string, args: readonly string[] = [], input = ''): Promise<T> {
    const { stdout, stderr } = await this.run(command, [...args, '--json'], input);
    let document: unknown;
    try {
      document = JSON.parse(stdout);
    } catch {
      throw new Error(`no document: ${stdout}${stderr}`);
    }
    const schema = await jsonSchema(`server-${command.replaceAll(' ', '-')}`);
    expect(schema.safeParse(document).error, stdout).toBeUndefined();
    return document as T;
  }

  /** The code and exit status of a command that fails, with `--json`. */
  async failure(command: string, args: readonly string[] = []) {
    const { status, stdout } = await this.run(command, [...args, '--json']);
    const { error } = JSON.parse(stdout) as {
      error: { code: string; message: string; hints: readonly string[] };
    };
    return { status, ...error };
  }

  text(file: string): Promise<string> {
    return readFile(file, 'utf8');
  }
}
