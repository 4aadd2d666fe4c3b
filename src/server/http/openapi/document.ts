import type { z } from 'zod';
import { V6_VERSION } from '../../../core/labels.ts';
import * as entity from './entities.ts';
import { FIELDS } from './fields.ts';
import { type Operation, type Operations, type RouteKey, TAGS } from './operation.ts';
import { createSchemaCollector, type JsonSchema, type SchemaCollector } from './schema.ts';

/** One route of the app, as it was registered; schemas are those that check requests. */
export interface DocumentedRoute {
  readonly key: RouteKey;
  readonly params?: z.ZodType | undefined;
  readonly querystring?: z.ZodType | undefined;
  readonly body?: z.ZodType | undefined;
}

/** An OpenAPI 3.1 document, as far as this server fills it. */
export type OpenApiDocument = Readonly<Record<string, unknown>> & {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, JsonSchema>>>>;
};

const DESCRIPTION = `The REST interface of vantage6 4.x, as nodes, clients and algorithms of that release use it.

Every answer is JSON. Errors carry \`msg\` and \`code\`, and \`errors\` by field when a field is at fault. Lists come in pages. Unknown fields and query parameters are refused. Numbers and flags may be sent as text. Times without a zone are UTC. Events go over socket.io, namespace \`/tasks\`; see docs/protocol.md.`;

const ERRORS: Readonly<Record<number, readonly [name: string, description: string]>> = {
  400: ['BadRequest', 'The request does not fit its schema or the state of what it is about.'],
  401: ['Unauthenticated', 'No token, one that has expired, or wrong credentials.'],
  403: ['Forbidden', 'The caller is of the wrong kind, or lacks the right.'],
  404: ['NotFound', 'There is no such record.'],
  409: ['Conflict', 'Somebody else changed the record meanwhile.'],
  413: ['TooLarge', 'The body is larger than this route reads.'],
  414: ['LongPath', 'A part of the path is longer than any id.'],
  415: ['NotJson', 'The body is of another type than JSON.'],
  422: ['InvalidToken', 'The token is malformed, of the wrong kind, or not from this server.'],
  429: ['TooMany', 'Too many requests; try again after `retry-after` seconds.'],
  500: ['Bug', 'A bug of the server; its log has more.'],
  501: ['NotConfigured', 'This server is not configured for it.'],
  502: ['UpstreamFault', 'A service that the server asks answers wrongly.'],
  503: ['Unavailable', 'The database or another service does not answer; try again.'],
};

/** The document of these routes, as far as they are described; a test shows that all are. */
export function buildDocument(options: {
  readonly routes: readonly DocumentedRoute[];
  readonly operations: Operations;
  readonly apiPath: string;
}): OpenApiDocument {
  const schemas = createSchemaCollector();
  const paths: Record<string, Record<string, JsonSchema>> = {};
  for (const route of options.routes) {
    const operation = options.operations[route.key];
    if (operation === undefined) continue;
    const [method = '', path = ''] = route.key.split(' ');
    const templated = path.replaceAll(/:(\w+)/g, '{$1}');
    paths[templated] ??= {};
    paths[templated][method.toLowerCase()] = describeOperation(route, operation, schemas);
  }
  const error = schemas.answer(entity.errorBody);
  return {
    openapi: '3.1.1',
    info: {
      title: 'v6 coordination server',
      version: V6_VERSION,
      description: DESCRIPTION,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: options.apiPath === '' ? '/' : options.apiPath }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      schemas: schemas.named,
      responses: Object.fromEntries(
        Object.values(ERRORS).map(([name, description]) => [name, jsonAnswer(description, error)]),
      ),
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
        refreshToken: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description: 'A refresh token instead of an access token.',
        },
      },
    },
    security: [{ bearer: [] }],
  };
}

function describeOperation(
  route: DocumentedRoute,
  operation: Operation,
  schemas: SchemaCollector,
): JsonSchema {
  const { callers } = operation;
  const who = callers === 'refresh' || callers.length === 0 ? undefined : callers.join(', ');
  const security =
    callers === 'refresh' ? [{ refreshToken: [] }] : callers.length === 0 ? [] : undefined;
  const text = [operation.description, who === undefined ? undefined : `For: ${who}.`];
  const parameters = [
    ...parametersOf('path', route.params, operation, schemas),
    ...parametersOf('query', route.querystring, operation, schemas),
  ];
  return {
    operationId: operationId(route.key),
    tags: [operation.tag],
    summary: operation.summary,
    description: text.filter((part) => part !== undefined).join(' '),
    ...(security === undefined ? {} : { security }),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(route.body === undefined ? {} : { requestBody: bodyOf(route.body, operation, schemas) }),
    responses: responsesOf(route, operation, schemas),
  };
}

/** `patchOrganizationById`. */
function operationId(key: RouteKey): string {
  const [method = '', path = ''] = key.split(' ');
  const words = path
    .split(/[/_]/)
    .filter((part) => part !== '')
    .map((part) => (part.startsWith(':') ? `by_${part.slice(1)}` : part))
    .flatMap((part) => part.split(/[_.-]/));
  return [
    method.toLowerCase(),
    ...words.map((word) => word[0]?.toUpperCase() + word.slice(1)),
  ].join('');
}

function parametersOf(
  place: 'path' | 'query',
  schema: z.ZodType | undefined,
  operation: Operation,
  schemas: SchemaCollector,
): readonly JsonSchema[] {
  if (schema === undefined) return [];
  const { properties = {}, required = [] } = schemas.request(schema) as {
    properties?: Readonly<Record<string, JsonSchema>>;
    required?: readonly string[];
  };
  return Object.entries(properties).map(([name, { description, ...rest }]) => ({
    name,
    in: place,
    required: place === 'path' || required.includes(name),
    description: description ?? meaningOf(name, place, operation),
    schema: rest,
  }));
}

const meaningOf = (name: string, place: string, { fields }: Operation): string | undefined =>
  fields?.[`${place}.${name}`] ?? fields?.[name] ?? FIELDS[name];

function bodyOf(schema: z.ZodType, operation: Operation, schemas: SchemaCollector): JsonSchema {
  return {
    required: true,
    content: { 'application/json': { schema: explained(schemas.request(schema), operation) } },
  };
}

/** Adds the meaning of each property, down to those of list items. */
function explained(schema: JsonSchema, operation: Operation): JsonSchema {
  const out: JsonSchema = {};
  for (const [key, value] of Object.entries(schema)) {
    if (key === 'properties') {
      const properties = Object.entries(value as Readonly<Record<string, JsonSchema>>);
      out[key] = Object.fromEntries(
        properties.map(([name, inner]) => {
          const description = inner.description ?? meaningOf(name, 'body', operation);
          const whole = explained(inner, operation);
          return [name, description === undefined ? whole : { ...whole, description }];
        }),
      );
    } else if (key === 'items') out[key] = explained(value as JsonSchema, operation);
    else if (key === 'anyOf' || key === 'oneOf')
      out[key] = (value as readonly JsonSchema[]).map((one) => explained(one, operation));
    else out[key] = value;
  }
  return out;
}

function responsesOf(
  route: DocumentedRoute,
  operation: Operation,
  schemas: SchemaCollector,
): JsonSchema {
  const headers = Object.entries(operation.headers ?? {}).map(([name, description]) => [
    name,
    { description, schema: { type: 'string' } },
  ]);
  const good = Object.entries(operation.answers).map(([status, schema]) => [
    status,
    {
      ...jsonAnswer('Done.', schemas.answer(schema)),
      ...(headers.length === 0 ? {} : { headers: Object.fromEntries(headers) as JsonSchema }),
    },
  ]);
  const bad = errorStatuses(route, operation, schemas).map((status) => [
    String(status),
    { $ref: `#/components/responses/${ERRORS[status]?.[0]}` },
  ]);
  return Object.fromEntries([...good, ...bad]) as JsonSchema;
}

function errorStatuses(
  route: DocumentedRoute,
  operation: Operation,
  schemas: SchemaCollector,
): readonly number[] {
  const { callers, errors = [] } = operation;
  const found = new Set<number>([400, 429, 500, 503, ...errors]);
  if (callers === 'refresh' || callers.length > 0)
    for (const one of [401, 403, 422]) found.add(one);
  const named = [route.querystring, route.body].flatMap((schema) =>
    schema === undefined ? [] : propertiesOf(schema, schemas),
  );
  if (named.some((name) => /(^|_)ids?$/.test(name))) found.add(404);
  if (route.params !== undefined) for (const one of [404, 414]) found.add(one);
  // A body that nobody asked for is read all the same.
  if (!route.key.startsWith('GET ')) for (const one of [413, 415]) found.add(one);
  for (const one of Object.keys(operation.answers)) found.delete(Number(one));
  return [...found].toSorted((a, b) => a - b);
}

const propertiesOf = (schema: z.ZodType, schemas: SchemaCollector): readonly string[] =>
  Object.keys(schemas.request(schema).properties ?? {});

const jsonAnswer = (description: string, schema: JsonSchema): JsonSchema => ({
  description,
  content: { 'application/json': { schema } },
});
