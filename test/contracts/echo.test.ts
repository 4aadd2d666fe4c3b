import { createServer, type Server } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AlgorithmClient } from '../../src/algorithm/client.ts';
import { type MeshOptions, runMesh } from '../../src/algorithm/echo/mesh.ts';
import { readIdentity } from '../../src/algorithm/token.ts';
import { ECHO_LABEL, type EchoReport, parseEchoReport } from '../../src/core/protocol/echo.ts';
import { FakeCoordinationServer, type FakeRun } from '../fakes/coordination-server.ts';

let server: FakeCoordinationServer;
const cleanups: (() => void)[] = [];

beforeEach(async () => {
  server = new FakeCoordinationServer();
  await server.start();
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) cleanup();
  await server.stop();
});

const hostOf = (organization: number): string => `127.0.71.${organization}`;

interface Start {
  readonly organizations: readonly number[];
  readonly options?: Partial<MeshOptions>;
  readonly delayMs?: (organization: number) => number;
  readonly register?: (run: FakeRun, ports: { tcp: number; udp: number }) => void;
  /** Organizations that never start. */
  readonly absent?: readonly number[];
}

const registerBoth = (run: FakeRun, ports: { tcp: number; udp: number }): void => {
  run.ports = [
    { port: ports.tcp, protocol: 'tcp', label: ECHO_LABEL.tcp },
    { port: ports.udp, protocol: 'udp', label: ECHO_LABEL.udp },
  ];
};

/** One echo instance per organization, each on a loopback address of its own, against the fake server. */
async function startMesh({
  organizations,
  options = {},
  delayMs = () => 0,
  register = registerBoth,
  absent = [],
}: Start): Promise<readonly EchoReport[]> {
  for (const organization of organizations)
    server.addNode({ organization, ip: hostOf(organization) });
  const task = server.addTask({ image: 'echo', collaboration: 1, parent: null }, organizations);
  const runs = server.runs.filter(
    (run) => run.task === task.id && !absent.includes(run.organization),
  );
  return Promise.all(
    runs.map(async (run) => {
      await new Promise((resolve) => setTimeout(resolve, delayMs(run.organization)));
      const token = server.containerToken(run);
      const client = new AlgorithmClient({
        baseUrl: server.url,
        token,
        identity: readIdentity(token),
      });
      const report = await runMesh(
        client,
        {
          organizations,
          probes: 5,
          limitMs: 10_000,
          patienceMs: 800,
          addressLimitMs: 1500,
          ports: { tcp: 0, udp: 0, host: hostOf(run.organization) },
          onListening: (ports) => {
            register(run, ports);
          },
          ...options,
        },
        new AbortController().signal,
      );
      // Through JSON and the parser, as it travels.
      const parsed = parseEchoReport(JSON.parse(JSON.stringify(report)));
      expect(parsed).toEqual(report);
      return report;
    }),
  );
}

const pairsOf = (reports: readonly EchoReport[]) =>
  reports.flatMap((report) => report.pairs.map((pair) => ({ from: report.organization, ...pair })));

describe('echo containers among themselves', () => {
  it('reach each other and themselves over tcp and udp, and end as soon as all are done', async () => {
    const startedAt = performance.now();
    const pairs = pairsOf(await startMesh({ organizations: [1, 2, 3] }));
    expect(pairs).toHaveLength(18);
    expect(pairs.filter((pair) => !pair.ok)).toEqual([]);
    for (const { rttMs } of pairs) {
      expect(rttMs?.min).toBeLessThanOrEqual(rttMs?.median ?? -1);
      expect(rttMs?.median).toBeLessThanOrEqual(rttMs?.max ?? -1);
    }
    expect(performance.now() - startedAt).toBeLessThan(3000);
  });

  it('wait for one that starts later', async () => {
    const pairs = pairsOf(
      await startMesh({
        organizations: [1, 2],
        delayMs: (organization) => (organization === 2 ? 1000 : 0),
      }),
    );
    expect(pairs.filter((pair) => pair.ok)).toHaveLength(8);
  });

  it('reports a peer whose address never appears as a failed pair, and ends', async () => {
    const pairs = pairsOf(await startMesh({ organizations: [1, 2, 3], absent: [3] }));
    expect(pairs.filter((pair) => pair.to !== 3).every((pair) => pair.ok)).toBe(true);
    const missing = pairs.filter((pair) => pair.to === 3);
    expect(missing).toHaveLength(4);
    for (const pair of missing)
      expect(pair).toMatchObject({ address: null, error: { code: 'V6_TEST_NO_ADDRESS' } });
  });

  it('says which protocol of a peer refuses, and keeps the other', async () => {
    const closedPort = await freePort();
    const pairs = pairsOf(
      await startMesh({
        organizations: [1, 2],
        register: (run, ports) => {
          registerBoth(run, run.organization === 2 ? { ...ports, tcp: closedPort } : ports);
        },
      }),
    );
    expect(failuresOf(pairs)).toEqual(['1>2 tcp V6_TEST_REFUSED', '2>2 tcp V6_TEST_REFUSED']);
  });

  it('ends in seconds when only one direction is open: the other one says that it is done', async () => {
    const closedPort = await freePort();
    const startedAt = performance.now();
    const reports = await startMesh({
      organizations: [1, 2],
      options: { limitMs: 30_000 },
      register: (run, ports) => {
        registerBoth(run, run.organization === 2 ? { tcp: closedPort, udp: closedPort } : ports);
      },
    });
    expect(failuresOf(pairsOf(reports))).toContain('1>2 tcp V6_TEST_REFUSED');
    expect(performance.now() - startedAt).toBeLessThan(5000);
  });

  it('notices that somebody else answers at the address', async () => {
    const ports = new Map<number, { tcp: number; udp: number }>();
    const reports = startMesh({
      organizations: [1, 2],
      register: (run, own) => {
        ports.set(run.organization, own);
        registerBoth(run, own);
        // Organization 2 is registered at the address of organization 1, as after a stale registration.
        const one = ports.get(1);
        const run2 = server.runs.find((other) => other.organization === 2);
        const node2 = server.nodes.find((node) => node.organization === 2);
        if (one === undefined || run2 === undefined || node2 === undefined) return;
        node2.ip = hostOf(1);
        registerBoth(run2, one);
      },
    });
    const failures = failuresOf(pairsOf(await reports));
    expect(failures).toContain('1>2 tcp V6_TEST_WRONG_PEER');
    expect(failures).toContain('1>2 udp V6_TEST_WRONG_PEER');
  });

  it('gives up on a peer that accepts and never answers', async () => {
    const silent = await listenSilently();
    const pairs = pairsOf(
      await startMesh({
        organizations: [1, 2],
        register: (run, ports) => {
          registerBoth(run, run.organization === 2 ? { ...ports, tcp: silent } : ports);
        },
      }),
    );
    expect(failuresOf(pairs)).toEqual(['1>2 tcp V6_TEST_TIMEOUT', '2>2 tcp V6_TEST_TIMEOUT']);
  });

  it('ends at its limit, whatever peers do', async () => {
    const startedAt = performance.now();
    const pairs = pairsOf(
      await startMesh({
        organizations: [1, 2],
        absent: [2],
        options: { limitMs: 600, addressLimitMs: 60_000 },
      }),
    );
    expect(failuresOf(pairs)).toHaveLength(2);
    expect(performance.now() - startedAt).toBeLessThan(3000);
  });

  it('keeps its answers while the addresses cannot be read for a while', async () => {
    let refused = 0;
    server.intercept = (_method, path) =>
      path === '/vpn/algorithm/addresses' && refused++ < 4 ? [500, { msg: 'down' }] : undefined;
    const pairs = pairsOf(await startMesh({ organizations: [1, 2] }));
    expect(failuresOf(pairs)).toEqual([]);
  });

  it('cuts a connection that sends without end and goes on', async () => {
    const { connect } = await import('node:net');
    const pairs = pairsOf(
      await startMesh({
        organizations: [1, 2],
        register: (run, ports) => {
          registerBoth(run, ports);
          const socket = connect({ host: hostOf(run.organization), port: ports.tcp });
          socket.on('error', () => {});
          socket.write('x'.repeat(100_000));
          cleanups.push(() => socket.destroy());
        },
      }),
    );
    expect(failuresOf(pairs)).toEqual([]);
  });
});

function failuresOf(pairs: ReturnType<typeof pairsOf>): readonly string[] {
  return pairs
    .filter((pair) => !pair.ok)
    .map((pair) => `${pair.from}>${pair.to} ${pair.protocol} ${pair.error?.code}`);
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

async function listenSilently(): Promise<number> {
  const silent: Server = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '0.0.0.0', resolve));
  cleanups.push(() => silent.close());
  return (silent.address() as { port: number }).port;
}
