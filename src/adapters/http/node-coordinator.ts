import type { OrganizationRecord } from '../../core/crypto/key-ring.ts';
import { isV6Error, V6Error } from '../../core/errors.ts';
import { RUN_STATUSES, type RunStatus, type Task } from '../../core/protocol/entities.ts';
import { isRecord, type Unknowns } from '../../core/protocol/json.ts';
import type {
  CoordinatorFamily,
  CoordinatorOrganizations,
  CoordinatorRuns,
  CoordinatorSession,
  CoordinatorVpn,
  FamilyRun,
  NodeIdentity,
  OpenRun,
} from '../../node/interfaces/coordinator.ts';
import { isFieldRefused, type NodeSession } from './node-session.ts';

/** A portal login behind `GET /vpn` can be slow. */
const VPN_REQUEST_MS = 90_000;
const PAGE_SIZE = 100;
/** Runs without their texts are short, and read again and again. */
const FAMILY_PAGE = 1000;
const MAX_PAGES = 1000;

/** The REST part of a coordination server, ours or Python 4.x, as a node uses it. */
export interface HttpCoordinator {
  readonly session: CoordinatorSession;
  readonly runs: CoordinatorRuns;
  readonly family: CoordinatorFamily;
  readonly vpn: CoordinatorVpn;
  readonly organizations: CoordinatorOrganizations;
}

export function createHttpCoordinator(session: NodeSession): HttpCoordinator {
  const self: { node: number | undefined } = { node: undefined };
  return {
    session: {
      baseUrl: session.baseUrl,
      login: async (signal) => {
        const id = await session.login(signal);
        self.node = id;
        return readIdentity(session, id, signal);
      },
    },
    runs: createRuns(session, () => ownId(self.node)),
    family: createFamily(session),
    vpn: createVpn(session, () => ownId(self.node)),
    organizations: createOrganizations(session),
  };
}

function ownId(id: number | undefined): number {
  if (id === undefined) throw new V6Error('V6_NODE_NOT_READY', 'The node has not logged in yet');
  return id;
}

async function readIdentity(
  session: NodeSession,
  id: number,
  signal: AbortSignal | undefined,
): Promise<NodeIdentity> {
  const get = (path: string) => session.send({ method: 'GET', path, signal });
  const node = await get(`/node/${id}`);
  const organization = relationId(node.organization, 'organization of the node');
  const collaboration = relationId(node.collaboration, 'collaboration of the node');
  const [own, joint] = [
    await get(`/organization/${organization}`),
    await get(`/collaboration/${collaboration}`),
  ];
  return {
    id,
    name: textOf(node.name),
    organization,
    organizationName: textOf(own.name),
    collaboration,
    // Some servers of old store it as a number.
    encrypted: joint.encrypted === true || joint.encrypted === 1,
  };
}

function createRuns(session: NodeSession, self: () => number): CoordinatorRuns {
  // A Python server refuses fields that it does not know; noticed once, then left out.
  const server = { knowsProtocol: true };
  return {
    async listOpen(task, signal) {
      const filter = task === undefined ? '' : `&task_id=${task}`;
      const path = `/run?state=open&node_id=${self()}&include=task${filter}`;
      try {
        const runs = (await allPages(session, path, signal)).map(parseOpenRun);
        return runs.toSorted((a, b) => a.id - b.id);
      } catch (error) {
        if (task !== undefined && isGone(error)) return [];
        throw error;
      }
    },
    async hasOpenRuns(task, signal) {
      const path = `/run?state=open&task_id=${task}&per_page=1`;
      const { data } = await session.send({ method: 'GET', path, signal });
      if (!Array.isArray(data)) throw badAnswer('GET /run', 'has no list `data`');
      return data.length > 0;
    },
    async patch(run, patch, signal) {
      await session.send({
        method: 'PATCH',
        path: `/run/${run}`,
        body: {
          ...(patch.status === undefined ? {} : { status: patch.status }),
          ...(patch.startedAt === undefined ? {} : { started_at: wireDate(patch.startedAt) }),
          ...(patch.finishedAt === undefined ? {} : { finished_at: wireDate(patch.finishedAt) }),
          ...(patch.result === undefined ? {} : { result: patch.result }),
          ...(patch.log === undefined ? {} : { log: patch.log }),
        },
        signal,
      });
    },
    async containerToken(task, image, signal) {
      const answer = await session.send({
        method: 'POST',
        path: '/token/container',
        body: { task_id: task, image },
        signal,
      });
      const { container_token: token } = answer;
      if (typeof token === 'string') return token;
      throw badAnswer('POST /token/container', 'has no `container_token`');
    },
    async registerPort({ run, port, protocol, label }, signal) {
      const body = { port, run_id: run, label };
      const send = (extra: Unknowns) =>
        session.send({ method: 'POST', path: '/port', body: { ...body, ...extra }, signal });
      if (server.knowsProtocol) {
        try {
          await send({ protocol });
          return;
        } catch (error) {
          if (!isFieldRefused(error, 'protocol')) throw error;
          server.knowsProtocol = false;
        }
      }
      // Its readers take every port for TCP: a UDP port in the list would mislead them.
      if (protocol === 'tcp') await send({});
    },
    async clearPorts(run, signal) {
      await session.send({ method: 'DELETE', path: `/port?run_id=${run}`, signal });
    },
  };
}

function createFamily(session: NodeSession): CoordinatorFamily {
  return {
    async openRuns(task, signal) {
      // Ours then leaves out inputs and logs; a Python server sends them, and does not mind the word.
      const path = `/run?task_id=${task}&state=open&view=network`;
      try {
        const runs = (await allPages(session, path, signal, FAMILY_PAGE)).map(parseFamilyRun);
        return runs.toSorted((a, b) => a.run - b.run);
      } catch (error) {
        if (isGone(error)) return [];
        throw error;
      }
    },
    async openChildren(task, signal) {
      const path = `/task?parent_id=${task}&sort=-id&per_page=${PAGE_SIZE}`;
      try {
        const { data } = await session.send({ method: 'GET', path, signal });
        if (!Array.isArray(data)) throw badAnswer('GET /task', 'has no list `data`');
        return data
          .filter(isRecord)
          .filter(({ finished_at: end }) => end === null || end === undefined)
          .flatMap(({ id }) => (typeof id === 'number' ? [id] : []));
      } catch (error) {
        if (isGone(error)) return [];
        throw error;
      }
    },
  };
}

/** The task was deleted meanwhile: nobody takes part. Python servers say 400 for a filter that names nothing. */
function isGone(error: unknown): boolean {
  const status = isV6Error(error, 'V6_SERVER_REFUSED') ? error.details.status : undefined;
  return status === 400 || status === 404;
}

function parseFamilyRun(value: unknown): FamilyRun {
  const run = isRecord(value) ? value : {};
  const node = isRecord(run.node) ? run.node : {};
  if (typeof run.id !== 'number') throw badAnswer('GET /run', 'has a run without id');
  return {
    run: run.id,
    task: relationId(run.task, 'task of the run'),
    node: typeof node.id === 'number' ? node.id : undefined,
    address: typeof node.ip === 'string' && node.ip !== '' ? node.ip : null,
    ports: portsOf(run.ports),
  };
}

/** A Python server does not tell the protocol. */
function portsOf(value: unknown): FamilyRun['ports'] {
  const ports = Array.isArray(value) ? value.filter(isRecord) : [];
  return ports.flatMap(({ port, protocol }) =>
    typeof port === 'number' && Number.isInteger(port) && port >= 1 && port <= 65_535
      ? [{ port, protocol: protocol === 'tcp' || protocol === 'udp' ? protocol : undefined }]
      : [],
  );
}

function createOrganizations(session: NodeSession): CoordinatorOrganizations {
  return {
    get: async (organization, signal) => {
      const path = `/organization/${organization}`;
      const record = parseOrganization(await session.send({ method: 'GET', path, signal }));
      if (record.id === organization) return record;
      throw badAnswer(`GET ${path}`, 'is about another organization');
    },
    list: async (collaboration, signal) => {
      const path = `/organization?collaboration_id=${collaboration}`;
      return (await allPages(session, path, signal)).map(parseOrganization);
    },
    async registerKey(organization, publicKey, signal) {
      const body = { public_key: publicKey };
      await session.send({ method: 'PATCH', path: `/organization/${organization}`, body, signal });
    },
  };
}

function createVpn(session: NodeSession, self: () => number): CoordinatorVpn {
  const configOf = (answer: Unknowns, what: string): string => {
    const { ovpn_config: text } = answer;
    if (typeof text === 'string' && text !== '') return text.replaceAll('\r\n', '\n');
    throw badAnswer(what, 'has no `ovpn_config`');
  };
  return {
    async setAddress(address, signal) {
      await session.send({
        method: 'PATCH',
        path: `/node/${self()}`,
        body: address === null ? { clear_ip: true } : { ip: address },
        signal,
      });
    },
    async fetchClientConfig(signal) {
      const request = { method: 'GET', path: '/vpn', timeoutMs: VPN_REQUEST_MS, signal } as const;
      return configOf(await session.send(request), 'GET /vpn');
    },
    async renewClientConfig(current, signal) {
      const answer = await session.send({
        method: 'POST',
        path: '/vpn/update',
        body: { vpn_config: current },
        timeoutMs: VPN_REQUEST_MS,
        signal,
      });
      return configOf(answer, 'POST /vpn/update');
    },
    async releaseLease(signal) {
      await session.send({
        method: 'POST',
        path: '/vpn/release',
        body: {},
        timeoutMs: VPN_REQUEST_MS,
        signal,
      });
    },
  };
}

/** As Python nodes write it: a Python server takes neither `Z` nor a date without fraction. */
function wireDate(date: Date): string {
  return date.toISOString().replace(/(\.\d{3})Z$/, '$1000+00:00');
}

/** All pages of a list. */
async function allPages(
  session: NodeSession,
  list: string,
  signal: AbortSignal | undefined,
  pageSize = PAGE_SIZE,
): Promise<readonly unknown[]> {
  const items: unknown[] = [];
  let path: string | undefined = `${list}&per_page=${pageSize}`;
  for (let pages = 0; path !== undefined && pages < MAX_PAGES; pages += 1) {
    const page: Unknowns = await session.send({ method: 'GET', path, signal });
    if (!Array.isArray(page.data))
      throw badAnswer(`GET ${list.split('?')[0] ?? ''}`, 'has no list `data`');
    items.push(...page.data);
    path = nextPath(page, session.baseUrl);
  }
  return items;
}

function parseOrganization(value: unknown): OrganizationRecord {
  const { id, name, public_key: publicKey } = isRecord(value) ? value : {};
  if (typeof id !== 'number')
    throw badAnswer('GET /organization', 'has an organization without id');
  return { id, name: textOf(name), publicKey: textOf(publicKey) };
}

/** `links.next` is a path from the root, with the api path. */
function nextPath(page: Unknowns, baseUrl: string): string | undefined {
  const next = isRecord(page.links) ? page.links.next : undefined;
  if (typeof next !== 'string' || next === '') return undefined;
  const root = new URL(baseUrl).pathname.replace(/\/$/, '');
  const { pathname, search } = new URL(next, baseUrl);
  return `${pathname.startsWith(`${root}/`) ? pathname.slice(root.length) : pathname}${search}`;
}

function parseOpenRun(value: unknown): OpenRun {
  const run = isRecord(value) ? value : {};
  const task = isRecord(run.task) ? run.task : {};
  if (typeof run.id !== 'number' || typeof task.id !== 'number' || typeof task.image !== 'string')
    throw badAnswer('GET /run', 'has a run without id, task or image');
  return {
    id: run.id,
    status: parseStatus(run.status),
    input: textOf(run.input),
    isInBlobStore: run.blob_storage_used === true,
    startedAt: typeof run.started_at === 'string' ? run.started_at : null,
    // Python servers and ours send the whole task; what we read of it was looked at above or is checked where it is used.
    task: { ...task, databases: databasesOf(task.databases) } as unknown as Task,
    ports: portsOf(run.ports),
  };
}

function databasesOf(value: unknown): Task['databases'] {
  if (!Array.isArray(value)) return [];
  return value
    .filter(isRecord)
    .flatMap(({ label, parameters }) =>
      typeof label === 'string'
        ? [{ label, parameters: typeof parameters === 'string' ? parameters : '{}' }]
        : [],
    );
}

function parseStatus(value: unknown): RunStatus {
  const known = RUN_STATUSES.find((status) => status === value);
  return known ?? 'unknown error';
}

function relationId(value: unknown, what: string): number {
  const id = isRecord(value) ? value.id : undefined;
  if (typeof id === 'number') return id;
  throw badAnswer('GET /node', `names no ${what}`);
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

function badAnswer(what: string, fault: string): V6Error {
  return new V6Error('V6_SERVER_ANSWER', `The answer to ${what} ${fault}`, {
    hints: ['Check that the server is a vantage6 4.x server.'],
  });
}
