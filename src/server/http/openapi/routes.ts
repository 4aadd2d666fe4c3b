import type { z } from 'zod';
import type { App } from '../app-types.ts';
import type { DocumentedRoute } from './document.ts';
import type { RouteKey } from './operation.ts';

/**
 * Remembers the routes below the api path with their schemas, as they are registered: call it before. Without HEAD and
 * OPTIONS, which follow from the others.
 */
export function collectRoutes(app: App, apiPath: string): readonly DocumentedRoute[] {
  const routes: DocumentedRoute[] = [];
  app.addHook('onRoute', ({ url, method, schema = {} }) => {
    if (!url.startsWith(`${apiPath}/`)) return;
    for (const one of [method].flat()) {
      if (one === 'HEAD' || one === 'OPTIONS') continue;
      routes.push({
        key: `${one} ${url.slice(apiPath.length)}` as RouteKey,
        params: schema.params as z.ZodType | undefined,
        querystring: schema.querystring as z.ZodType | undefined,
        body: schema.body as z.ZodType | undefined,
      });
    }
  });
  return routes;
}
