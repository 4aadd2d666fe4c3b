import type { App } from '../app-types.ts';
import { buildDocument, type DocumentedRoute } from '../openapi/document.ts';
import { OPERATIONS } from '../openapi/operations.ts';

/** The OpenAPI document, made at the first request. Upstream has its own outside the api path; both places answer. */
export function registerApiDocs(
  app: App,
  { apiPath, routes }: { readonly apiPath: string; readonly routes: readonly DocumentedRoute[] },
): void {
  let text: string | undefined;
  for (const path of new Set([`${apiPath}/apidocs`, '/apidocs'])) {
    app.get(path, { config: { isPublic: true } }, async (_request, reply) => {
      text ??= JSON.stringify(buildDocument({ routes, operations: OPERATIONS, apiPath }));
      return reply.type('application/json; charset=utf-8').send(text);
    });
  }
}
