import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { isFinished, type Run, type RunStatus } from '../../src/core/protocol/entities.ts';
import { until } from './wait.ts';

const RUN_JS = path.join(import.meta.dirname, '../../bin/run.js');

export interface Ran {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  // biome-ignore lint/suspicious/noExplicitAny: documents of many commands
  readonly json: Record<string, never> & { [key: string]: unknown };
}

/** A demo of the tests' own, beside one that a user may have: own scope, own folders. */
export class TestDemo {
  readonly scope: string;
  readonly #name: string;
  /** Everything that any command printed. */
  readonly printed: string[] = [];
  home = '';

  constructor(name: string) {
    this.#name = name;
    this.scope = `demo-${name}`;
  }

  async open(): Promise<void> {
    this.home = await mkdtemp(path.join(tmpdir(), 'v6-demo-'));
    // The standard folders of a user are not ours to remove.
    for (const folder of ['config', 'data', 'cache']) await mkdir(path.join(this.home, folder));
  }

  get env(): Record<string, string> {
    return {
      PATH: process.env.PATH ?? '',
      HOME: this.home,
      XDG_CONFIG_HOME: `${this.home}/config`,
      XDG_DATA_HOME: `${this.home}/data`,
      XDG_CACHE_HOME: `${this.home}/cache`,
    };
  }

  get root(): string {
    return `${this.home}/data/v6/${this.scope}`;
  }

  /** The built command line, as a user starts it. Never throws for an exit status. */
  async v6(args: readonly string[], options: { timeoutMs?: number } = {}): Promise<Ran> {
    const result = await execa(process.execPath, [RUN_JS, ...args], {
      env: this.env,
      extendEnv: false,
      reject: false,
      stdin: 'ignore',
      timeout: options.timeoutMs ?? 120_000,
    });
    this.printed.push(result.stdout, result.stderr);
    const json =
      args.includes('--json') && result.stdout !== ''
        ? (JSON.parse(result.stdout) as Ran['json'])
        : ({} as Ran['json']);
    return { exitCode: result.exitCode ?? -1, stdout: result.stdout, stderr: result.stderr, json };
  }

  up(args: readonly string[] = []): Promise<Ran> {
    return this.v6(['demo', 'up', '--name', this.#name, '--json', ...args], { timeoutMs: 240_000 });
  }

  down(): Promise<Ran> {
    return this.v6(['demo', 'down', '--name', this.#name, '--json'], { timeoutMs: 120_000 });
  }

  vpnTest(args: readonly string[] = []): Promise<Ran> {
    return this.v6(['vpn', 'test', '--login', this.scope, '--json', ...args], {
      timeoutMs: 150_000,
    });
  }

  node(words: string, index: number, args: readonly string[] = []): Promise<Ran> {
    return this.v6([
      'node',
      ...words.split(' '),
      '--name',
      `hospital-${index}`,
      '--scope',
      this.scope,
      ...args,
    ]);
  }

  /** The engine's own command line: what stands on the host, not what we say of it. */
  async docker(...args: string[]): Promise<string> {
    const { stdout } = await execa('docker', args, { timeout: 60_000 });
    return stdout;
  }

  container(kind: 'vpn-server' | 'portal' | 'server'): string {
    return kind === 'server' ? `vantage6-demo-${this.scope}-server` : `v6-${this.scope}-${kind}`;
  }

  vpnClient(index: number): string {
    return `vantage6-hospital-${index}-${this.scope}-vpn-client`;
  }

  daemon(index: number): string {
    return `vantage6-hospital-${index}-${this.scope}`;
  }

  async startedAt(...containers: string[]): Promise<string> {
    return this.docker(
      'inspect',
      '--format',
      '{{.Name}} {{.Id}} {{.State.StartedAt}}',
      ...containers,
    );
  }

  /** For the end of a test file: nothing of the demo is left. Throws with what `demo down` said when it could not do that. */
  async close(): Promise<void> {
    if (this.home === '') return;
    const { exitCode, stdout, stderr } = await this.down();
    await rm(this.home, { recursive: true, force: true });
    if (exitCode !== 0) throw new Error(`v6 demo down ended with ${exitCode}: ${stdout}${stderr}`);
  }
}

/** The coordination server through its REST interface, as a researcher's client sees it. */
export class RestUser {
  readonly #url: string;
  readonly #token: string;

  private constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  static async logIn(
    demo: TestDemo,
    report: { serverUrl: string; user: string; passwordFile: string },
  ): Promise<RestUser> {
    const password = (await readFile(report.passwordFile, 'utf8')).trim();
    const url = `${report.serverUrl}/api`;
    const response = await fetch(`${url}/token/user`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ username: report.user, password }),
    });
    if (response.status !== 200) throw new Error(`login answered ${response.status}`);
    const { access_token: token } = (await response.json()) as { access_token: string };
    void demo;
    return new RestUser(url, token);
  }

  async request<T>(method: string, route: string, body?: unknown): Promise<T> {
    const response = await fetch(`${this.#url}${route}`, {
      method,
      headers: {
        authorization: `Bearer ${this.#token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const answer = (await response.json()) as T;
    if (response.status > 210)
      throw new Error(`${method} ${route} answered ${response.status}: ${JSON.stringify(answer)}`);
    return answer;
  }

  async createTask(input: {
    collaboration: number;
    image: string;
    method: string;
    kwargs?: object;
    organizations: readonly number[];
  }): Promise<number> {
    const text = Buffer.from(
      JSON.stringify({ method: input.method, args: [], kwargs: input.kwargs ?? {} }),
    ).toString('base64');
    const task = await this.request<{ id: number }>('POST', '/task', {
      name: `test ${input.method}`,
      image: input.image,
      collaboration_id: input.collaboration,
      organizations: input.organizations.map((id) => ({ id, input: text })),
    });
    return task.id;
  }

  async runs(task: number): Promise<readonly Run[]> {
    return (await this.request<{ data: Run[] }>('GET', `/run?task_id=${task}&per_page=100`)).data;
  }

  /** Waits for the end of all runs of a task; statuses and parsed results by organization. */
  async finish(
    task: number,
    limitMs = 60_000,
  ): Promise<Map<number, { status: RunStatus; value: unknown; log: string | null }>> {
    const runs = await until(
      `the end of task ${task}`,
      limitMs,
      () => this.runs(task),
      (list) =>
        list.length > 0 && list.every((run) => isFinished(run.status) && run.finished_at !== null),
    );
    const { data } = await this.request<{ data: { run: { id: number }; result: string | null }[] }>(
      'GET',
      `/result?task_id=${task}&per_page=100`,
    );
    return new Map(
      runs.map((run) => {
        const text = data.find((result) => result.run.id === run.id)?.result ?? '';
        const value: unknown =
          text === '' ? undefined : JSON.parse(Buffer.from(text, 'base64').toString());
        return [run.organization.id, { status: run.status, value, log: run.log }];
      }),
    );
  }
}
