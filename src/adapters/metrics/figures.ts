import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { MetricSources, Metrics, NodeReport } from '../../server/interfaces/metrics.ts';

/** Seconds. From an answer out of memory to one that a client gives up. */
const BUCKETS = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];
const NODE_LABELS = ['node_id', 'os', 'platform'] as const;

/** Upstream's gauges of nodes, with its names and labels (vantage6 4.15, backend/common/metrics.py). */
const NODE_GAUGES: Readonly<Record<string, string>> = {
  cpu_percent: 'CPU usage percentage',
  memory_percent: 'Memory usage percentage',
  num_algorithm_containers: 'Number of running algorithm containers',
  cpu_count: 'Number of CPUs',
  memory_total: 'Total memory',
  memory_available: 'Available memory',
  gpu_count: 'Number of GPUs',
};
const GPU_GAUGES: Readonly<Record<string, string>> = {
  gpu_load: 'GPU load',
  gpu_memory_used: 'GPU memory used',
  gpu_memory_free: 'GPU memory free',
  gpu_temperature: 'GPU temperature',
};

export interface Figures extends Metrics {
  readonly registry: Registry;
  follow(sources: MetricSources): void;
}

/** All figures of one server in a registry of their own. */
export function createFigures(): Figures {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const duration = new Histogram({
    name: 'v6_http_request_duration_seconds',
    help: 'Time until a request was answered',
    labelNames: ['method', 'route', 'status'],
    buckets: BUCKETS,
    registers,
  });
  const refusals = new Counter({
    name: 'v6_refused_requests_total',
    help: 'Requests that were not carried out, by code',
    labelNames: ['code'],
    registers,
  });
  const databaseErrors = new Counter({
    name: 'v6_database_errors_total',
    help: 'Requests and look-ups that the database failed',
    registers,
  });
  const failedLogins = new Counter({
    name: 'v6_failed_logins_total',
    help: 'Logins that were refused',
    labelNames: ['kind'],
    registers,
  });
  const given = new Counter({
    name: 'v6_vpn_configurations_given_total',
    help: 'VPN configurations that nodes were given',
    registers,
  });
  return {
    registry,
    answered: ({ method, route, status, seconds }) => {
      duration.observe({ method, route, status: String(status) }, seconds);
      if (method !== 'POST' || status < 400 || status === 404) return;
      const kind = /\/token\/(user|node)$/.exec(route)?.[1];
      if (kind !== undefined) failedLogins.inc({ kind });
    },
    refused: (code) => {
      refusals.inc({ code });
      if (code === 'V6_DATABASE') databaseErrors.inc();
    },
    gaveVpn: () => given.inc(),
    follow: (sources) => addSources(registers, sources, () => databaseErrors.inc()),
    ...nodeFigures(registers),
  };
}

/** Gauges that are looked up when they are read. What cannot be looked up has no value: nought would be a lie. */
function addSources(registers: Registry[], sources: MetricSources, onFailure: () => void): void {
  const sockets = new Gauge({
    name: 'v6_sockets',
    help: 'Sockets at this server, by whose they are and how they are connected',
    labelNames: ['kind', 'transport'],
    registers,
    collect: () => {
      sockets.reset();
      for (const { kind, transport, count } of sources.sockets())
        sockets.set({ kind, transport }, count);
    },
  });
  const fromDatabase = (name: string, help: string, read: () => Promise<number>): void => {
    const gauge = new Gauge({
      name,
      help,
      registers,
      collect: async () => {
        try {
          gauge.set(await read());
        } catch {
          gauge.set(Number.NaN);
          onFailure();
        }
      },
    });
  };
  fromDatabase('v6_nodes_online', 'Nodes that are online, at all servers of this database', () =>
    sources.nodesOnline(),
  );
  fromDatabase('v6_runs_open', 'Runs that have not ended, at all servers of this database', () =>
    sources.openRuns(),
  );
}

function nodeFigures(registers: Registry[]): Pick<Metrics, 'nodeReported' | 'nodeLeft'> {
  const gauge = (labelNames: readonly string[]) => (entry: [string, string]) =>
    [
      entry[0],
      new Gauge({ name: entry[0], help: entry[1], labelNames: [...labelNames], registers }),
    ] as const;
  const perNode = new Map(Object.entries(NODE_GAUGES).map(gauge(NODE_LABELS)));
  const perGpu = new Map(Object.entries(GPU_GAUGES).map(gauge([...NODE_LABELS, 'gpu_id'])));
  const reports = new Map<number, NodeReport>();
  const forget = (nodeId: number): void => {
    const old = reports.get(nodeId);
    reports.delete(nodeId);
    if (old === undefined) return;
    const labels = labelsOf(nodeId, old);
    for (const one of perNode.values()) one.remove(labels);
    for (const [name, values] of Object.entries(old.gpus))
      for (const id of values.keys()) perGpu.get(name)?.remove({ ...labels, gpu_id: String(id) });
  };
  return {
    nodeReported: (nodeId, report) => {
      forget(nodeId);
      reports.set(nodeId, report);
      const labels = labelsOf(nodeId, report);
      for (const [name, value] of Object.entries(report.values))
        perNode.get(name)?.set(labels, value);
      for (const [name, values] of Object.entries(report.gpus))
        for (const [id, value] of values.entries())
          perGpu.get(name)?.set({ ...labels, gpu_id: String(id) }, value);
    },
    nodeLeft: forget,
  };
}

const labelsOf = (nodeId: number, { os, platform }: NodeReport) => ({
  node_id: String(nodeId),
  os,
  platform,
});
