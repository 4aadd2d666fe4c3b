import { request as httpRequest, type IncomingMessage } from 'node:http';

/** Oldest API that all engines of the support table speak, and the newest that Docker 20.10 does. */
const VERSION = 'v1.41';
const SOCKET = '/var/run/docker.sock';

export interface ApiEvent {
  readonly Type: string;
  readonly Action: string;
  readonly Actor: { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> };
  readonly timeNano: number;
}

/**
 * The engine's HTTP interface, bare: the sequence of another program is replayed through it, and what an engine did is watched
 * through it, without any code of ours in between.
 */
export class EngineApi {
  readonly #socket: string;

  constructor(socket = SOCKET) {
    this.#socket = socket;
  }

  /** JSON in, JSON out; undefined for an empty answer. Throws for all but 2xx and 304. */
  async call(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
    const answer = await this.#send(method, path, body);
    const text = await textOf(answer);
    const status = answer.statusCode ?? 0;
    if ((status < 200 || status > 299) && status !== 304)
      throw new Error(`${method} ${path}: ${status} ${text.slice(0, 300)}`);
    return text.startsWith('{') || text.startsWith('[')
      ? (JSON.parse(text) as Record<string, unknown>)
      : {};
  }

  /** Creates and starts; the id. */
  async run(name: string, spec: Readonly<Record<string, unknown>>): Promise<string> {
    const { Id } = await this.call('POST', `/containers/create?name=${name}`, spec);
    await this.call('POST', `/containers/${String(Id)}/start`);
    return String(Id);
  }

  /** Runs to its end and removes; as `docker run --rm` in the foreground. */
  async runOnce(name: string, spec: Readonly<Record<string, unknown>>): Promise<number> {
    const id = await this.run(name, spec);
    const { StatusCode } = await this.call('POST', `/containers/${id}/wait`);
    await this.remove(id);
    return Number(StatusCode);
  }

  async exec(container: string, command: readonly string[]): Promise<string> {
    const { Id } = await this.call('POST', `/containers/${container}/exec`, {
      Cmd: command,
      AttachStdout: true,
      AttachStderr: true,
    });
    const answer = await this.#send('POST', `/exec/${String(Id)}/start`, {
      Detach: false,
      Tty: true,
    });
    const output = await textOf(answer);
    const { ExitCode } = await this.call('GET', `/exec/${String(Id)}/json`);
    if (ExitCode !== 0) {
      const what = command.join(' ').slice(0, 200);
      throw new Error(`${what}: ${String(ExitCode)} ${output.slice(0, 300)}`);
    }
    return output;
  }

  async remove(container: string): Promise<void> {
    await this.call('DELETE', `/containers/${container}?force=1&v=1`);
  }

  /** Events with this label from now on; `stop` ends it. */
  async watch(label: string): Promise<EngineWatch> {
    const filters = encodeURIComponent(JSON.stringify({ label: [label] }));
    const answer = await this.#send('GET', `/events?filters=${filters}`);
    return new EngineWatch(answer);
  }

  #send(method: string, path: string, body?: unknown): Promise<IncomingMessage> {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const outgoing = httpRequest({
        socketPath: this.#socket,
        method,
        path: `/${VERSION}${path}`,
        headers: {
          host: 'docker',
          ...(payload === undefined
            ? {}
            : {
                'content-type': 'application/json',
                'content-length': Buffer.byteLength(payload),
              }),
        },
      });
      outgoing.on('error', reject);
      outgoing.on('response', resolve);
      outgoing.end(payload);
    });
  }
}

/** What the engine did, with its own clock. */
export class EngineWatch {
  readonly events: ApiEvent[] = [];
  readonly #answer: IncomingMessage;
  readonly #listeners = new Set<() => void>();

  constructor(answer: IncomingMessage) {
    this.#answer = answer;
    let rest = '';
    answer.setEncoding('utf8');
    answer.on('error', () => undefined);
    answer.on('data', (chunk: string) => {
      const lines = `${rest}${chunk}`.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line !== '') this.events.push(JSON.parse(line) as ApiEvent);
      for (const listener of this.#listeners) listener();
    });
  }

  /** The first event that fits, also one that has happened. Throws after `limitMs`. */
  next(what: string, limitMs: number, fits: (event: ApiEvent) => boolean): Promise<ApiEvent> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#listeners.delete(look);
        reject(new Error(`${what} did not happen within ${limitMs} ms`));
      }, limitMs);
      const look = (): void => {
        const found = this.events.find(fits);
        if (found === undefined) return;
        clearTimeout(timer);
        this.#listeners.delete(look);
        resolve(found);
      };
      this.#listeners.add(look);
      look();
    });
  }

  clear(): void {
    this.events.length = 0;
  }

  stop(): void {
    this.#answer.destroy();
  }
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
