import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { isFailed, type RunStatus } from '../../src/core/protocol/entities.ts';

export interface FakeNode {
  id: number;
  name: string;
  organization: number;
  collaboration: number;
  status: 'online' | 'offline';
  ip: string | null;
  config: { key: string; value: string }[];
}

export interface FakePort {
  port: number;
  protocol: 'tcp' | 'udp';
  label: string | null;
}

export interface FakeRun {
  id: number;
  task: number;
  organization: number;
  status: RunStatus;
  /** base64 */
  input: string;
  log: string | null;
  result: string | null;
  finishedAt: string | null;
  ports: FakePort[];
}

export interface FakeTask {
  id: number;
  image: string;
  collaboration: number;
  parent: number | null;
}

type Reply = readonly [status: number, body: unknown];

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** An unsigned token as the fake gives it out; clients never check signatures. */
export function fakeToken(sub: unknown, expiresInSeconds = 3600, clientType = 'user'): string {
  const exp = Math.floor(Date.now() / 1000) + expiresInSeconds;
  return `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub, exp, client_type: clientType })}.c2ln`;
}

/** The part of a vantage6 4.x server that users and algorithm containers need; state in memory, HTTP on loopback. */
export class FakeCoordinationServer {
  readonly users = new Map([['researcher', 'right password']]);
  readonly collaborations = [{ id: 1, name: 'trial', encrypted: false }];
  readonly nodes: FakeNode[] = [];
  readonly tasks: FakeTask[] = [];
  readonly runs: FakeRun[] = [];
  readonly killed: number[] = [];
  /** What happens to a new run; may be slow, is never awaited. */
  onRun: (run: FakeRun, task: FakeTask, server: FakeCoordinationServer) => Promise<void> = () =>
    Promise.resolve();
  /** Answers instead of the fake when it returns something. */
  intercept: (method: string, path: string) => Reply | undefined = () => undefined;
  readonly requests: string[] = [];
  refreshes = 0;
  accessLifeSeconds = 3600;
  perPage = 10;
  readonly #server: Server = createServer((request, response) => {
    void this.#serve(request, response);
  });

  async start(host = '127.0.0.1'): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject).listen(0, host, resolve);
    });
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  get url(): string {
    const { address, port } = this.#server.address() as AddressInfo;
    return `http://${address}:${port}/api`;
  }

  addNode(node: Partial<FakeNode> & { organization: number }): FakeNode {
    const added: FakeNode = {
      id: 100 + node.organization,
      name: `node-${node.organization}`,
      collaboration: 1,
      status: 'online',
      ip: `10.99.0.${node.organization}`,
      config: [],
      ...node,
    };
    this.nodes.push(added);
    return added;
  }

  addTask(task: Omit<FakeTask, 'id'>, organizations: readonly number[], input = ''): FakeTask {
    const added = { ...task, id: this.tasks.length + 1 };
    this.tasks.push(added);
    for (const organization of organizations) {
      const run: FakeRun = {
        id: this.runs.length + 1,
        task: added.id,
        organization,
        status: 'pending',
        input,
        log: null,
        result: null,
        finishedAt: null,
        ports: [],
      };
      this.runs.push(run);
      void this.onRun(run, added, this);
    }
    return added;
  }

  /** Token of an algorithm container of this run. */
  containerToken(run: FakeRun): string {
    const task = this.tasks.find(({ id }) => id === run.task);
    return fakeToken(
      {
        client_type: 'container',
        node_id: 100 + run.organization,
        organization_id: run.organization,
        collaboration_id: 1,
        study_id: null,
        store_id: null,
        task_id: run.task,
        image: task?.image,
        databases: [],
      },
      3600,
      'container',
    );
  }

  finish(run: FakeRun, result: unknown): void {
    run.status = 'completed';
    run.result = Buffer.from(JSON.stringify(result)).toString('base64');
    run.finishedAt = new Date().toISOString();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [status, body] = await this.#answer(request);
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  }

  async #answer(request: IncomingMessage): Promise<Reply> {
    const url = new URL(request.url ?? '/', this.url);
    const path = url.pathname.replace(/^\/api/, '');
    const method = request.method ?? 'GET';
    this.requests.push(`${method} ${path}${url.search}`);
    let text = '';
    for await (const chunk of request) text += String(chunk);
    const forced = this.intercept(method, path);
    if (forced !== undefined) return forced;
    if (request.url?.startsWith('/api/') !== true) return [404, { msg: 'no such path' }];
    const body = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>;
    if (path === '/token/user') return this.#login(body);
    const claims = readClaims(request.headers.authorization);
    if (claims === undefined) return [401, { msg: 'Missing Authorization Header' }];
    if (claims.exp < Date.now() / 1000) return [401, { msg: 'Token has expired' }];
    if (path === '/token/refresh') {
      this.refreshes += 1;
      return this.#tokens();
    }
    return this.#route(method, path, url, body, claims.sub);
  }

  #login({ username, password }: Record<string, unknown>): Reply {
    if (this.users.get(String(username)) !== password) return [401, { msg: 'wrong credentials' }];
    return this.#tokens();
  }

  #tokens(): Reply {
    return [
      200,
      {
        access_token: fakeToken(7, this.accessLifeSeconds),
        refresh_token: fakeToken(7, 7200),
        refresh_url: '/api/token/refresh',
        user_url: '/api/user/7',
      },
    ];
  }

  #route(
    method: string,
    path: string,
    url: URL,
    body: Record<string, unknown>,
    sub: unknown,
  ): Reply {
    const query = url.searchParams;
    const task = Number(query.get('task_id'));
    if (method === 'POST' && path === '/task') return this.#createTask(body, sub);
    if (method === 'POST' && path === '/kill/task') return this.#kill(Number(body.id));
    if (method !== 'GET') return [405, { message: 'method not allowed' }];
    if (path === '/collaboration') return this.#page(this.collaborations, url);
    if (path === '/organization')
      return this.#page(
        this.nodes.map((node) => ({ id: node.organization, name: node.name, public_key: '' })),
        url,
      );
    if (path === '/node')
      return this.#page(
        this.nodes.map((node) => ({
          ...node,
          type: 'node',
          last_seen: null,
          organization: relation('organization', node.organization),
          collaboration: relation('collaboration', node.collaboration),
        })),
        url,
      );
    if (path === '/run')
      return this.#page(this.runs.filter((run) => run.task === task).map(this.#run), url);
    if (path === '/result')
      return this.#page(this.runs.filter((run) => run.task === task).map(toResult), url);
    if (path === '/vpn/algorithm/addresses') return this.#addresses(query, sub);
    const status = /^\/task\/(\d+)\/status$/.exec(path);
    if (status !== null) return [200, { status: this.#taskStatus(Number(status[1])) }];
    return [404, { msg: 'no such path' }];
  }

  #createTask(body: Record<string, unknown>, sub: unknown): Reply {
    const organizations = body.organizations as { id: number; input: string }[];
    const parent = typeof sub === 'object' ? (sub as { task_id: number }).task_id : null;
    const task = this.addTask(
      { image: String(body.image), collaboration: Number(body.collaboration_id), parent },
      organizations.map(({ id }) => id),
      organizations[0]?.input,
    );
    return [201, { ...task, name: body.name, status: 'pending' }];
  }

  #kill(id: number): Reply {
    this.killed.push(id);
    for (const run of this.runs)
      if (run.task === id && run.finishedAt === null) {
        run.status = 'killed by user';
        run.finishedAt = new Date().toISOString();
      }
    return [200, { msg: 'killed' }];
  }

  #addresses(query: URLSearchParams, sub: unknown): Reply {
    const { task_id: task, organization_id: own } = sub as Record<string, number>;
    const addresses = this.runs
      .filter((run) => run.task === task && (!query.has('only_self') || run.organization === own))
      .flatMap((run) =>
        run.ports.map((port) => ({
          ...port,
          ip: this.nodes.find((node) => node.organization === run.organization)?.ip ?? null,
          organization_id: run.organization,
          task_id: run.task,
          parent_id: null,
        })),
      );
    return [200, { addresses }];
  }

  #taskStatus(task: number): RunStatus {
    const statuses = this.runs.filter((run) => run.task === task).map((run) => run.status);
    return (
      statuses.find(isFailed) ?? statuses.find((status) => status !== 'completed') ?? 'completed'
    );
  }

  readonly #run = (run: FakeRun): unknown => {
    const node = this.nodes.find(({ organization }) => organization === run.organization);
    return {
      id: run.id,
      status: run.status,
      input: run.input,
      log: run.log,
      assigned_at: null,
      started_at: null,
      finished_at: run.finishedAt,
      blob_storage_used: false,
      organization: relation('organization', run.organization),
      task: relation('task', run.task),
      node: { id: node?.id, name: node?.name, ip: node?.ip, status: node?.status },
      ports: run.ports.map((port, index) => ({ id: index + 1, ...port })),
    };
  };

  #page(items: readonly unknown[], url: URL): Reply {
    const page = Number(url.searchParams.get('page') ?? 1);
    const end = page * this.perPage;
    const next = new URLSearchParams(url.searchParams);
    next.set('page', String(page + 1));
    return [
      200,
      {
        data: items.slice(end - this.perPage, end),
        links: {
          self: `${url.pathname}${url.search}`,
          ...(end < items.length ? { next: `${url.pathname}?${next.toString()}` } : {}),
        },
      },
    ];
  }
}

const relation = (kind: string, id: number) => ({ id, link: `/api/${kind}/${id}`, methods: [] });

const toResult = (run: FakeRun): unknown => ({
  id: run.id,
  result: run.result,
  blob_storage_used: false,
  run: relation('run', run.id),
  task: relation('task', run.task),
});

function readClaims(header: string | undefined): { sub: unknown; exp: number } | undefined {
  const payload = header?.replace(/^Bearer /, '').split('.')[1];
  if (payload === undefined) return undefined;
  return JSON.parse(Buffer.from(payload, 'base64url').toString()) as { sub: unknown; exp: number };
}
