import { Validator } from '@seriousme/openapi-schema-validator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OPERATIONS } from '../../../../../src/server/http/openapi/operations.ts';
import { createWorld, type World } from '../../../../support/server-app.ts';

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly description?: string;
  readonly schema: Readonly<Record<string, unknown>>;
}
interface DocumentedOperation {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly security?: readonly object[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { schema: object }>> };
  readonly responses: Readonly<Record<string, object>>;
}
interface Document {
  readonly openapi: string;
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, DocumentedOperation>>>>;
}

let world: World;
let document: Document;
let operations: (DocumentedOperation & { readonly key: string })[];
beforeAll(async () => {
  world = await createWorld();
  document = (await world.call('GET', '/apidocs')).body as unknown as Document;
  operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      ...operation,
      key: `${method.toUpperCase()} ${path}`,
    })),
  );
});
afterAll(() => world.close());

describe('the document at /apidocs', () => {
  it('is valid OpenAPI 3.1', async () => {
    expect(document.openapi).toMatch(/^3\.1\./);
    const result = await new Validator().validate(JSON.parse(JSON.stringify(document)));
    expect(result.errors ?? []).toStrictEqual([]);
    expect(result.valid).toBe(true);
  });

  it('needs no login and is also outside the api path', async () => {
    const answer = await world.app.inject({ url: '/apidocs' });
    expect([answer.statusCode, answer.json()]).toStrictEqual([200, document]);
    expect(document.servers).toStrictEqual([{ url: '/api' }]);
  });

  it('holds every route, and nothing else', () => {
    const described = operations.map(({ key }) => key).toSorted();
    const registered = routesOf(world.app.printRoutes({ commonPrefix: false })).toSorted();
    expect(described).toStrictEqual(registered);
    const entries = Object.keys(OPERATIONS).map((key) => key.replaceAll(/:(\w+)/g, '{$1}'));
    expect(entries.toSorted()).toStrictEqual(described);
  });

  it('gives every operation a name of its own, a summary, a tag and good and bad answers', () => {
    expect(new Set(operations.map((one) => one.operationId)).size).toBe(operations.length);
    for (const operation of operations) {
      expect(operation.summary, operation.key).toMatch(/^[A-Z].*[^.]$/);
      expect(operation.tags, operation.key).toHaveLength(1);
      const statuses = Object.keys(operation.responses);
      expect(
        statuses.some((status) => status < '300'),
        operation.key,
      ).toBe(true);
      expect(statuses, operation.key).toContain('429');
    }
  });

  it('explains every parameter and body field', () => {
    const unexplained = operations.flatMap(({ key, parameters = [], requestBody }) => [
      ...parameters
        .filter((one) => one.description === undefined)
        .map((one) => `${key} ${one.name}`),
      ...unexplainedFields(requestBody?.content['application/json']?.schema).map(
        (name) => `${key} ${name}`,
      ),
    ]);
    expect(unexplained).toStrictEqual([]);
  });

  it('says which operations are public: those that answer without a token', async () => {
    for (const { key, security, parameters = [] } of operations) {
      const [method = '', path = ''] = key.split(' ');
      const url = parameters.reduce((text, { name }) => text.replace(`{${name}}`, '1'), path);
      const answer = await world.call(method, url);
      const isPublic = security !== undefined && security.length === 0;
      const asksForToken = answer.body.code === 'V6_AUTH_REQUIRED';
      expect([key, asksForToken]).toStrictEqual([key, !isPublic]);
    }
  });

  it('has units and ranges of the schemas that check', () => {
    const list = document.paths['/run']?.get?.parameters ?? [];
    const size = list.find((one) => one.name === 'per_page');
    expect(size?.schema).toMatchObject({ type: 'integer', minimum: 1, maximum: 1000, default: 10 });
  });
});

/** `GET /task/{id}` out of fastify's tree, for what stands below the api path. */
function routesOf(tree: string): string[] {
  const parts: string[] = [];
  const found: string[] = [];
  for (const line of tree.split('\n')) {
    const match = /^(?<indent>[│ ]*)[├└]── (?<part>\S+)(?: \((?<methods>[^)]+)\))?/.exec(line);
    if (match?.groups === undefined) continue;
    const { indent = '', part = '', methods = '' } = match.groups;
    parts.length = indent.length / 4;
    parts.push(part);
    const path = parts.join('');
    if (!path.startsWith('/api/')) continue;
    for (const method of methods.split(', ').filter((one) => one !== '' && one !== 'HEAD'))
      found.push(`${method} ${path.slice(4).replaceAll(/:(\w+)/g, '{$1}')}`);
  }
  return found;
}

function unexplainedFields(schema: unknown): string[] {
  if (typeof schema !== 'object' || schema === null) return [];
  const {
    properties = {},
    items,
    anyOf = [],
  } = schema as {
    properties?: Record<string, { description?: string }>;
    items?: object;
    anyOf?: object[];
  };
  return [
    ...Object.entries(properties).flatMap(([name, inner]) => [
      ...(inner.description === undefined ? [name] : []),
      ...unexplainedFields(inner),
    ]),
    ...unexplainedFields(items),
    ...anyOf.flatMap(unexplainedFields),
  ];
}
