import { isV6Error } from '../../../core/errors.ts';
import { V6_VERSION } from '../../../core/labels.ts';
import { callerOf, type Routes } from '../app-types.ts';

/** Clients choose their ways by this: the vantage6 release whose interface we offer. */
export const COMPATIBLE_VERSION = '4.14.0';

/** What has no records: version, health, blob store. */
export function registerServiceRoutes({ app, store, metrics }: Routes): void {
  app.get('/version', { config: { isPublic: true, isOpen: true } }, async () => ({
    version: COMPATIBLE_VERSION,
    v6: V6_VERSION,
  }));

  // 503 and not 200, so that a load balancer sees it.
  app.get('/health', { config: { isPublic: true, isOpen: true } }, async (_request, reply) => {
    try {
      await store.check();
      return { database: true };
    } catch (error) {
      if (!isV6Error(error)) throw error;
      metrics?.refused(error.code);
      reply.code(error.entry.httpStatus);
      return { database: false, msg: error.message, code: error.code };
    }
  });

  app.get('/blobstream/status', async (request) => {
    callerOf(request, 'user', 'node', 'container');
    return { blob_store_enabled: false };
  });
}
