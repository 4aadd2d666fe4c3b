import type { OrganizationRecord } from '../../src/core/crypto/key-ring.ts';
import { V6Error } from '../../src/core/errors.ts';
import type { RunStatus, Task } from '../../src/core/protocol/entities.ts';
import type { AlgorithmLog, AlgorithmStatusChange } from '../../src/core/protocol/events.ts';
import type {
  Coordinator,
  CoordinatorEvents,
  CoordinatorFamily,
  CoordinatorOrganizations,
  CoordinatorRuns,
  CoordinatorSession,
  CoordinatorVpn,
  EventHandlers,
  FamilyRun,
  NodeIdentity,
  OpenRun,
  RunPatch,
} from '../../src/node/interfaces/coordinator.ts';

export interface HeldRun {
  readonly id: number;
  readonly task: Task;
  status: RunStatus;
  input: string;
  startedAt: string | null;
  finishedAt: string | null;
  log: string | null;
  result: string | null;
  /** How often its end was told. */
  ends: number;
}

export interface RegisteredPort {
  readonly run: number;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
  readonly label: string | null;
}

/** A coordination server in memory, with the contract of the real one. `isAway` makes every call fail; `journal` tells the order. */
export class FakeCoordinator implements Coordinator {
  identity: NodeIdentity = {
    id: 3,
    name: 'alpha',
    organization: 2,
    organizationName: 'North',
    collaboration: 1,
    encrypted: false,
  };
  isAway = false;
  refusesKey = false;
  readonly held = new Map<number, HeldRun>();
  readonly ports: RegisteredPort[] = [];
  readonly journal: string[] = [];
  readonly statuses: AlgorithmStatusChange[] = [];
  readonly streamed: AlgorithmLog[] = [];
  isConnected = true;
  /** Counts the connections of the socket. */
  connection = 1;
  readonly known = new Map<number, OrganizationRecord>();
  /** Parent tasks that live on other nodes. */
  readonly livingElsewhere = new Set<number>();
  address: string | null = null;
  /** What the node may be asked for next; each is called once. */
  handlers: EventHandlers | undefined;
  #serial = 40;

  readonly session: CoordinatorSession = {
    baseUrl: 'http://server.test/api',
    login: async () => {
      this.#check('login');
      if (this.refusesKey) throw new V6Error('V6_AUTH_API_KEY', 'The key is refused');
      return this.identity;
    },
  };

  /** Creates a run of a task; without `run` the next id. */
  add(input: {
    image: string;
    run?: number;
    task?: number;
    parent?: number | null;
    startedAt?: string | null;
    databases?: Task['databases'];
  }): HeldRun {
    this.#serial += 1;
    const id = input.run ?? this.#serial;
    const relation = (of: number) => ({ id: of, link: `/api/x/${of}`, methods: [] });
    const run: HeldRun = {
      id,
      status: 'pending',
      input: Buffer.from('{"method":"echo"}').toString('base64'),
      startedAt: input.startedAt ?? null,
      finishedAt: null,
      log: null,
      result: null,
      ends: 0,
      task: {
        id: input.task ?? id + 1000,
        job_id: 1,
        name: '',
        description: '',
        image: input.image,
        status: 'pending',
        created_at: '2030-01-01T00:00:00',
        finished_at: null,
        databases: input.databases ?? [],
        collaboration: relation(1),
        init_org: relation(2),
        init_user: relation(1),
        parent: input.parent === undefined || input.parent === null ? null : relation(input.parent),
        study: null,
        algorithm_store: null,
      },
    };
    this.held.set(id, run);
    return run;
  }

  readonly runs: CoordinatorRuns = {
    listOpen: async (task) => {
      this.#check('listOpen');
      return [...this.held.values()]
        .filter((run) => run.finishedAt === null && (task === undefined || run.task.id === task))
        .map(
          ({ id, status, input, startedAt, task: of }): OpenRun => ({
            id,
            status,
            input,
            startedAt,
            task: of,
            ports: this.ports.filter(({ run }) => run === id),
          }),
        );
    },
    hasOpenRuns: async (task) => {
      this.#check('hasOpenRuns');
      return this.livingElsewhere.has(task);
    },
    patch: async (run, patch) => {
      this.#check(`patch ${run} ${patch.status ?? ''}`);
      this.#patch(run, patch);
    },
    containerToken: async (task) => {
      this.#check(`token ${task}`);
      return tokenFor(task);
    },
    registerPort: async (port) => {
      this.#check(`register ${port.run} ${port.port}/${port.protocol}`);
      this.ports.push(port);
    },
    clearPorts: async (run) => {
      this.#check(`clear ${run}`);
      const kept = this.ports.filter((port) => port.run !== run);
      this.ports.splice(0, this.ports.length, ...kept);
    },
  };

  /** Runs of other nodes, as families are read. */
  readonly elsewhere: FamilyRun[] = [];
  /** Child tasks that are open, by parent. */
  readonly children = new Map<number, readonly number[]>();

  readonly family: CoordinatorFamily = {
    openRuns: async (task) => {
      this.#check(`family ${task}`);
      return this.elsewhere.filter((run) => run.task === task);
    },
    openChildren: async (task) => {
      this.#check(`children ${task}`);
      return this.children.get(task) ?? [];
    },
  };

  readonly organizations: CoordinatorOrganizations = {
    get: async (id) => {
      this.#check(`organization ${id}`);
      const found = this.known.get(id);
      if (found !== undefined) return found;
      throw new V6Error('V6_SERVER_REFUSED', 'no organization', { details: { status: 404 } });
    },
    list: async () => {
      this.#check('organizations');
      return [...this.known.values()];
    },
    registerKey: async (id, publicKey) => {
      this.#check(`key of ${id}`);
      this.setKey(id, publicKey);
    },
  };

  /** What the server says of an organization from now on. */
  setKey(id: number, publicKey: string, name = this.known.get(id)?.name ?? `O${id}`): void {
    this.known.set(id, { id, name, publicKey });
  }

  readonly vpn: CoordinatorVpn = {
    setAddress: async (address) => {
      this.#check(`address ${address}`);
      this.address = address;
    },
    fetchClientConfig: async () => {
      throw new V6Error('V6_SERVER_REFUSED', 'no VPN', { details: { status: 501 } });
    },
    renewClientConfig: async () => {
      throw new V6Error('V6_SERVER_REFUSED', 'no VPN', { details: { status: 501 } });
    },
    releaseLease: async () => {
      this.#check('release');
    },
  };

  readonly events: CoordinatorEvents = eventsOf(this);

  #check(what: string): void {
    if (this.isAway) throw new V6Error('V6_SERVER_UNREACHABLE', 'The server is away');
    this.journal.push(what);
  }

  #patch(id: number, patch: RunPatch): void {
    const run = this.held.get(id);
    if (run === undefined || run.finishedAt !== null)
      throw new V6Error('V6_SERVER_REFUSED', `Run ${id} has ended`, { details: { status: 400 } });
    // As upstream: what a patch leaves out is erased.
    run.log = patch.log ?? null;
    run.result = patch.result ?? null;
    if (patch.status !== undefined) run.status = patch.status;
    if (patch.startedAt !== undefined) run.startedAt = patch.startedAt.toISOString();
    if (patch.finishedAt === undefined) return;
    run.finishedAt = patch.finishedAt.toISOString();
    run.ends += 1;
  }
}

function eventsOf(world: FakeCoordinator): CoordinatorEvents {
  return {
    listen: (handlers, signal) => {
      world.handlers = handlers;
      signal.addEventListener('abort', () => {
        world.handlers = undefined;
      });
      handlers.onSync();
    },
    emitStatus: (change) => {
      world.statuses.push(change);
    },
    // As the server: a newline between two texts, nothing after the end.
    emitLog: (line) => {
      const run = world.held.get(line.run_id);
      if (!world.isConnected || run === undefined || run.finishedAt !== null) return;
      world.streamed.push(line);
      run.log = run.log === null ? line.log : `${run.log}\n${line.log}`;
    },
    get connected() {
      return world.isConnected;
    },
    get connection() {
      return world.connection;
    },
  };
}

/** The token that the fake gives to the algorithm of a task. */
export function tokenFor(task: number): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${part({ alg: 'HS256' })}.${part({ sub: { task_id: task } })}.c2lnbmF0dXJl`;
}
