import { readFile } from 'node:fs/promises';
import { DEFAULT_ACCOUNTS } from '../../src/core/config/server-accounts.ts';
import type { ServerConfig } from '../../src/core/config/server-config.ts';
import { DEFAULT_OPERATION } from '../../src/core/config/server-operation.ts';
import { DEFAULT_TRANSPORT } from '../../src/core/config/server-transport.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { isRecord } from '../../src/core/protocol/json.ts';
import { type RunningServer, startServer } from '../../src/server/compose.ts';

/** Root's own: only members may create tasks. */
const ROOT_ORGANIZATION = 1;

type Body = Record<string, unknown>;

export interface TestNode {
  readonly id: number;
  readonly organization: number;
  readonly apiKey: string;
}

/** A real coordination server in this process, on loopback, with root's hands on its REST interface. */
export class TestCoordination {
  server: RunningServer;
  readonly #dataDir: string;
  readonly #token: string;
  collaboration = 0;

  private constructor(server: RunningServer, dataDir: string, token: string) {
    this.server = server;
    this.#dataDir = dataDir;
    this.#token = token;
  }

  /** `dataDir` is made, and left to the caller. */
  static async start(dataDir: string): Promise<TestCoordination> {
    const server = await startServer({ config: config(0), dataDir, logger: silentLogger });
    const password = (await readFile(server.passwordFile ?? '', 'utf8')).trim();
    const login = await exchange('POST', `${server.url}/token/user`, undefined, {
      username: 'root',
      password,
    });
    return new TestCoordination(server, dataDir, String(login.access_token));
  }

  get port(): number {
    return this.server.port;
  }

  /** Stops answering; `comeBack` starts it again on the same port with the same data. */
  async goAway(): Promise<void> {
    await this.server.stop();
  }

  async comeBack(): Promise<void> {
    const again = config(this.server.port);
    this.server = await startServer({
      config: again,
      dataDir: this.#dataDir,
      logger: silentLogger,
    });
  }

  /** A collaboration of new organizations with a node each. */
  async createNodes(names: readonly string[], encrypted = false): Promise<readonly TestNode[]> {
    const organizations: number[] = [];
    for (const name of names)
      organizations.push(idOf(await this.ask('POST', '/organization', { name })));
    this.collaboration = idOf(
      await this.ask('POST', '/collaboration', {
        name: `trial of ${names.join(', ')}`,
        organization_ids: [ROOT_ORGANIZATION, ...organizations],
        encrypted,
      }),
    );
    const nodes: TestNode[] = [];
    for (const [index, organization] of organizations.entries()) {
      const node = await this.ask('POST', '/node', {
        name: names[index],
        organization_id: organization,
        collaboration_id: this.collaboration,
      });
      nodes.push({ id: idOf(node), organization, apiKey: String(node.api_key) });
    }
    return nodes;
  }

  /** A task for these organizations; returns its runs' ids in their order. */
  async createTask(image: string, organizations: readonly number[], input: unknown = {}) {
    const payload = Buffer.from(JSON.stringify(input)).toString('base64');
    const task = await this.ask('POST', '/task', {
      name: 'test',
      image,
      collaboration_id: this.collaboration,
      organizations: organizations.map((id) => ({ id, input: payload })),
      databases: [],
    });
    const runs = await this.ask('GET', `/run?task_id=${idOf(task)}`);
    const list = Array.isArray(runs.data) ? runs.data.filter(isRecord) : [];
    return { task: idOf(task), runs: list.map(idOf).toSorted((a, b) => a - b) };
  }

  run(id: number): Promise<Body> {
    return this.ask('GET', `/run/${id}`);
  }

  async result(id: number): Promise<string | null> {
    const { result } = await this.ask('GET', `/result/${id}`);
    return typeof result === 'string' ? Buffer.from(result, 'base64').toString() : null;
  }

  ask(method: string, path: string, body?: unknown): Promise<Body> {
    return exchange(method, `${this.server.url}${path}`, this.#token, body);
  }
}

async function exchange(
  method: string,
  url: string,
  token: string | undefined,
  body: unknown,
): Promise<Body> {
  const response = await fetch(url, {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(10_000),
  });
  const answer: unknown = await response.json();
  if (!response.ok)
    throw new Error(`${method} ${url}: ${response.status} ${JSON.stringify(answer)}`);
  return isRecord(answer) ? answer : {};
}

function idOf(body: Body | Readonly<Record<string, unknown>>): number {
  if (typeof body.id === 'number') return body.id;
  throw new Error(`no id in ${JSON.stringify(body)}`);
}

const config = (port: number): ServerConfig => ({
  description: 'test',
  ip: '127.0.0.1',
  port,
  apiPath: '/api',
  uri: 'sqlite:///server.sqlite',
  jwtSecretKey: undefined,
  tokenExpiresHours: 6,
  refreshTokenExpiresHours: 48,
  serverUrl: undefined,
  vpn: undefined,
  vpnTrustedNetworks: [],
  vpnLeaseGraceMs: 3_600_000,
  accounts: DEFAULT_ACCOUNTS,
  transport: DEFAULT_TRANSPORT,
  operation: DEFAULT_OPERATION,
  logLevel: 'error',
});
