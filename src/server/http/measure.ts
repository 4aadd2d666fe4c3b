import { isV6Error } from '../../core/errors.ts';
import type { Metrics } from '../interfaces/metrics.ts';
import type { App } from './app-types.ts';

/** Counts answers and refusals. Routes by their patterns: paths hold ids, and a scanner could make up any number of them. */
export function measure(app: App, metrics: Metrics): void {
  app.addHook('onError', async (_request, _reply, error: Error) => {
    metrics.refused(isV6Error(error) ? error.code : 'V6_BUG');
  });
  app.addHook('onResponse', async (request, reply) => {
    const { method } = request;
    const route = request.routeOptions.url ?? 'unknown';
    const status = reply.statusCode;
    metrics.answered({ method, route, status, seconds: reply.elapsedTime / 1000 });
    if (status === 200 && /\/vpn(\/update)?$/.test(route)) metrics.gaveVpn();
  });
}
