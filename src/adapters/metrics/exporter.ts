import { once } from 'node:events';
import { createServer } from 'node:http';
import { V6Error } from '../../core/errors.ts';
import type { MetricsExporter } from '../../server/interfaces/metrics.ts';
import { createFigures } from './figures.ts';

/**
 * Answers `GET /metrics`, and upstream's `/`, on a port of its own: figures name nodes and are asked for without a token, so they
 * do not belong on the port that faces the world.
 */
export function createMetricsExporter(at: {
  readonly ip: string;
  readonly port: number;
}): MetricsExporter {
  const figures = createFigures();
  const { registry } = figures;
  const server = createServer((request, response) => {
    const path = request.url?.split('?')[0];
    if (request.method !== 'GET' || (path !== '/metrics' && path !== '/')) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('GET /metrics\n');
      return;
    }
    registry.metrics().then(
      (text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
      () => response.writeHead(500, { 'content-type': 'text/plain' }).end('No figures now\n'),
    );
  });
  return {
    ...figures,
    open: async (sources) => {
      figures.follow(sources);
      server.listen(at.port, at.ip);
      try {
        await once(server, 'listening');
      } catch (error) {
        throw new V6Error(
          'V6_NET_PORT_IN_USE',
          `Port ${at.port} on ${at.ip}, for figures, is taken`,
          {
            cause: error,
            hints: ['Choose another: prometheus.exporter_port in the configuration file.'],
            details: { ip: at.ip, port: at.port },
          },
        );
      }
      // The figures end with the server, and do not keep the process.
      server.unref();
    },
    close: async () => {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
