import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { isRecord } from '../../src/core/protocol/json.ts';
import { PYTHON_SCRIPTS, pythonPeers } from './python-venv.ts';

type Keywords = Readonly<Record<string, unknown>>;

/** What a method of a Python client gave back; `said` is what the client wrote for its user meanwhile. */
export interface PythonAnswer {
  readonly value: unknown;
  readonly said: string;
}

/** An exception that came out of the Python client. */
export class PythonError extends Error {
  /** Name of the Python class. */
  readonly type: string;
  readonly said: string;

  constructor(type: string, message: string, said: string) {
    super(`${type}: ${message}\n${said}`);
    this.type = type;
    this.said = said;
  }
}

/** One Python process with any number of real `vantage6-client` user clients in it (test/python/client.py). */
export class PythonClients {
  /** Every method that was called, such as `task.create`. */
  readonly called = new Set<string>();
  readonly #child: ChildProcess;
  readonly #waiting: { resolve(line: string): void; reject(error: Error): void }[] = [];
  #errors = '';

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#errors += chunk.toString();
    });
    if (child.stdout !== null)
      createInterface({ input: child.stdout }).on('line', (line) => {
        this.#waiting.shift()?.resolve(line);
      });
    child.once('close', () => {
      const ended = new Error(`the Python client has ended: ${this.#errors}`);
      for (const waiting of this.#waiting.splice(0)) waiting.reject(ended);
    });
  }

  static async start(): Promise<PythonClients> {
    const python = await pythonPeers();
    const env = { PATH: process.env.PATH ?? '', PYTHONIOENCODING: 'utf-8' };
    return new PythonClients(spawn(python, [path.join(PYTHON_SCRIPTS, 'client.py')], { env }));
  }

  /** A client for the server on this port of loopback; it has not logged in yet. */
  async open(name: string, port: number): Promise<PythonUser> {
    await this.ask({ new: name, host: 'http://127.0.0.1', port, path: '/api' });
    return new PythonUser(this, name);
  }

  /** Names of all methods that the installed client offers. */
  async methods(): Promise<readonly string[]> {
    const { value } = await this.ask({ methods: true });
    return value as readonly string[];
  }

  async ask(request: Keywords): Promise<PythonAnswer> {
    const line = await new Promise<string>((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    });
    const answer: unknown = JSON.parse(line);
    if (!isRecord(answer)) throw new Error(`not an answer: ${line}`);
    const said = String(answer.said);
    if (!isRecord(answer.error)) return { value: answer.value, said };
    throw new PythonError(String(answer.error.type), String(answer.error.message), said);
  }

  stop(): void {
    this.#child.kill('SIGKILL');
  }
}

/** One logged-in Python user. Calls of different users in one process run one after the other. */
export class PythonUser {
  readonly #clients: PythonClients;
  readonly #name: string;

  constructor(clients: PythonClients, name: string) {
    this.#clients = clients;
    this.#name = name;
  }

  /** Calls a method with keywords, for example `organization.create`. Throws {@link PythonError}. */
  async ask(call: string, kwargs: Keywords = {}): Promise<PythonAnswer> {
    this.#clients.called.add(call);
    return this.#clients.ask({ client: this.#name, call, kwargs });
  }

  /** The same, for methods that give back one record. Upstream's client gives errors back as `{msg}`: those throw here. */
  async record(call: string, kwargs: Keywords = {}): Promise<Keywords> {
    const { value, said } = await this.ask(call, kwargs);
    if (isRecord(value) && (value.id !== undefined || value.msg === undefined)) return value;
    throw new PythonError('Answer', `${call}: ${JSON.stringify(value)}`, said);
  }

  /** The same, for methods that give back a list: bare, or under `data`. */
  async list(call: string, kwargs: Keywords = {}): Promise<readonly Keywords[]> {
    const { value, said } = await this.ask(call, kwargs);
    const list = isRecord(value) ? value.data : value;
    if (Array.isArray(list)) return list as readonly Keywords[];
    throw new PythonError('Answer', `${call}: ${JSON.stringify(value)}`, said);
  }

  /** Puts another access token in place of the client's own. */
  async useToken(token: string): Promise<void> {
    await this.#clients.ask({ client: this.#name, token });
  }
}
