import { readFile } from 'node:fs/promises';
import { createHttpCoordinator } from '../../src/adapters/http/node-coordinator.ts';
import { NodeSession } from '../../src/adapters/http/node-session.ts';
import { createNetworkAdmin, createUserClient } from '../../src/adapters/http/user-client.ts';
import { logIn, UserSession } from '../../src/adapters/http/user-session.ts';
import { NodeEvents } from '../../src/adapters/socket/node-events.ts';
import { AlgorithmClient } from '../../src/algorithm/client.ts';
import { runMesh } from '../../src/algorithm/echo/mesh.ts';
import { readIdentity } from '../../src/algorithm/token.ts';
import { systemClock } from '../../src/core/clock.ts';
import { DEFAULT_ACCOUNTS } from '../../src/core/config/server-accounts.ts';
import { DEFAULT_OPERATION } from '../../src/core/config/server-operation.ts';
import { DEFAULT_TRANSPORT } from '../../src/core/config/server-transport.ts';
import { KeyRing } from '../../src/core/crypto/key-ring.ts';
import type { PrivateKey } from '../../src/core/crypto/keys.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { ECHO_LABEL } from '../../src/core/protocol/echo.ts';
import { NODE_INFO_VPN } from '../../src/core/protocol/node-info.ts';
import type { NetworkAdmin } from '../../src/diagnose/interfaces/network-admin.ts';
import type { UserClient } from '../../src/diagnose/interfaces/user-client.ts';
import { type Payloads, plainPayloads } from '../../src/node/encryption/payloads.ts';
import type { OpenRun } from '../../src/node/interfaces/coordinator.ts';
import { type RunningServer, startServer } from '../../src/server/compose.ts';
import { FakePins } from '../fakes/pins.ts';
import { type TempFolder, tempFolder } from './temp-folder.ts';

/** Our coordination server on a free port of loopback, with its first user logged in. */
export interface RealServer extends AsyncDisposable {
  readonly url: string;
  readonly password: string;
  readonly admin: NetworkAdmin;
  /** Makes a user with the role Researcher in an organization and logs in as it. */
  researcherOf(organization: number): Promise<{ username: string; client: UserClient }>;
}

export async function startRealServer(): Promise<RealServer> {
  const folder: TempFolder = await tempFolder();
  const server: RunningServer = await startServer({
    config: {
      description: '',
      ip: '127.0.0.1',
      port: 0,
      apiPath: '/api',
      uri: 'sqlite:///test.sqlite',
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
    },
    dataDir: folder.path,
    logger: silentLogger,
  });
  const password = (await readFile(server.passwordFile ?? '', 'utf8')).trim();
  const login = await logIn({ serverUrl: server.url, username: 'root', password });
  const admin = createNetworkAdmin(new UserSession(login));
  return {
    url: server.url,
    password,
    admin,
    researcherOf: async (organization) => {
      const username = `researcher-${organization}`;
      const role = (await admin.listRoles()).get('Researcher');
      await admin.createUser({
        username,
        password,
        email: `${username}@example.test`,
        firstName: 'Ann',
        lastName: 'Researcher',
        organization,
        roles: role === undefined ? [] : [role],
      });
      const own = await logIn({ serverUrl: server.url, username, password });
      return { username, client: createUserClient(new UserSession(own)) };
    },
    [Symbol.asyncDispose]: async () => {
      await server.stop();
      await folder.remove();
    },
  };
}

/**
 * A node without containers and without a tunnel: it logs in, stays connected, and runs echo tasks in this process. Echo
 * gets addresses of 10.99.0.0/24 as loopback addresses, because a server takes no loopback address for a tunnel's. Ends
 * with the signal.
 */
export async function joinAsNode(
  server: RealServer,
  options: {
    readonly apiKey: string;
    readonly address: string | null;
    readonly vpn?: 'on' | 'off';
    /** Of its organization, in an encrypted collaboration. */
    readonly privateKey?: PrivateKey;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { address, vpn = 'on', signal } = options;
  const url = new URL(server.url);
  const session = new NodeSession({
    serverUrl: `http://${url.hostname}`,
    port: Number(url.port),
    apiPath: '/api',
    apiKey: options.apiKey,
    clock: systemClock,
  });
  const coordinator = createHttpCoordinator(session);
  const { organization: own } = await coordinator.session.login(signal);
  const payloads = await payloadsOf(own, coordinator, options.privateKey);
  await coordinator.vpn.setAddress(address, signal);
  const begun = new Set<number>();
  const synced = Promise.withResolvers<void>();
  const work = async (): Promise<void> => {
    for (const run of await coordinator.runs.listOpen(undefined, signal)) {
      if (begun.has(run.id)) continue;
      begun.add(run.id);
      void runEchoTask(server, coordinator.runs, {
        run,
        payloads,
        address: toLoopback(address ?? ''),
        signal,
      });
    }
    synced.resolve();
  };
  new NodeEvents({
    origin: url.origin,
    token: session,
    clock: systemClock,
    logger: silentLogger,
    info: { [NODE_INFO_VPN]: vpn },
  }).listen(
    { onSync: () => void work(), onNewTask: () => void work(), onKill: () => undefined },
    signal,
  );
  await synced.promise;
}

async function payloadsOf(
  own: number,
  { organizations }: Pick<ReturnType<typeof createHttpCoordinator>, 'organizations'>,
  privateKey: PrivateKey | undefined,
): Promise<Payloads> {
  if (privateKey === undefined) return plainPayloads;
  const ring = new KeyRing({
    own,
    organizations,
    privateKey,
    pins: new FakePins(),
    rules: { pinned: new Map(), trustOnFirstUse: true, trustCommand: '' },
    clock: systemClock,
    logger: silentLogger,
  });
  await ring.register();
  return ring;
}

async function runEchoTask(
  server: RealServer,
  runs: ReturnType<typeof createHttpCoordinator>['runs'],
  options: { run: OpenRun; address: string; payloads: Payloads; signal: AbortSignal },
): Promise<void> {
  const { run, address, payloads, signal } = options;
  const input = JSON.parse(Buffer.from(payloads.open(run.input, 'the input')).toString()) as {
    kwargs: { organizations: number[]; probes: number; limitMs: number };
  };
  await runs.patch(run.id, { startedAt: new Date() });
  const token = await runs.containerToken(run.task.id, run.task.image);
  const client = new AlgorithmClient({ baseUrl: server.url, token, identity: readIdentity(token) });
  const registered = Promise.withResolvers<void>();
  const mesh = runMesh(
    {
      identity: client.identity,
      vpn: {
        getAddresses: async (flags, stop) => {
          const addresses = await client.vpn.getAddresses(flags, stop);
          return addresses.map((at) => ({ ...at, ip: at.ip && toLoopback(at.ip) }));
        },
      },
    },
    {
      ...input.kwargs,
      patienceMs: 800,
      addressLimitMs: 1500,
      ports: { tcp: 0, udp: 0, host: address },
      onListening: (ports) => {
        registered.resolve(registerPorts(runs, run.id, ports));
      },
    },
    signal,
  );
  await registered.promise;
  await runs.patch(run.id, { status: 'active' });
  const report = await payloads.seal(Buffer.from(JSON.stringify(await mesh)), run.task.init_org.id);
  await runs.patch(run.id, {
    status: 'completed',
    result: report,
    log: 'echo has ended',
    finishedAt: new Date(),
  });
}

async function registerPorts(
  runs: ReturnType<typeof createHttpCoordinator>['runs'],
  run: number,
  ports: { readonly tcp: number; readonly udp: number },
): Promise<void> {
  for (const protocol of ['tcp', 'udp'] as const)
    await runs.registerPort({ run, port: ports[protocol], protocol, label: ECHO_LABEL[protocol] });
}

const toLoopback = (address: string): string =>
  address.replace(/^10\.99\.0\./, '127.0.73.') || '127.0.73.99';
