import type { ServerConfig } from '../core/config/server-config.ts';
import type { MetricSources, MetricsExporter } from './interfaces/metrics.ts';
import type { Store } from './interfaces/store.ts';
import type { EventHub } from './services/events.ts';
import type { Sockets } from './socket/server.ts';

/** Figures of this server, not open yet; undefined when the configuration wants none. */
export async function composeMetrics(
  { operation, ip }: Pick<ServerConfig, 'operation' | 'ip'>,
  events: Pick<EventHub, 'subscribe'>,
): Promise<MetricsExporter | undefined> {
  const { metrics: settings } = operation;
  if (settings === undefined) return undefined;
  const { createMetricsExporter } = await import('../adapters/metrics/exporter.ts');
  const metrics = createMetricsExporter({ ip: settings.ip ?? ip, port: settings.port });
  events.subscribe((event) => {
    if (event.type === 'node-offline') metrics.nodeLeft(event.node.id);
  });
  return metrics;
}

const ONE = { offset: 0, limit: 1, sort: [] } as const;

/** What the figures look up in the database and among the sockets. */
export const metricSources = (
  store: Pick<Store, 'nodes' | 'runs'>,
  sockets: Sockets,
): MetricSources => ({
  sockets: () => sockets.count(),
  nodesOnline: async () => (await store.nodes.list({ isOnline: true }, ONE)).total,
  openRuns: async () => (await store.runs.list({ isOpen: true }, ONE)).total,
});
