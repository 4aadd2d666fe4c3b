import { z } from 'zod';

/** A JSON schema (2020-12), as OpenAPI 3.1 uses it. */
export type JsonSchema = { [key: string]: unknown };

/** Collects the named schemas of the document while others are turned into JSON. */
export interface SchemaCollector {
  /** What the server reads. */
  request(schema: z.ZodType): JsonSchema;
  /** What the server answers. */
  answer(schema: z.ZodType): JsonSchema;
  readonly named: Readonly<Record<string, JsonSchema>>;
}

export function createSchemaCollector(): SchemaCollector {
  const named: Record<string, JsonSchema> = {};
  const convert = (schema: z.ZodType, io: 'input' | 'output'): JsonSchema => {
    // Wrapped: a named schema at the root would be written out instead of referred to.
    const whole = z.toJSONSchema(z.object({ root: schema }), {
      io,
      override: ({ zodSchema, jsonSchema }) => {
        const { def } = zodSchema._zod;
        // zod loses the default when what it stands for is preprocessed.
        if (def.type === 'default') jsonSchema.default ??= def.defaultValue as never;
      },
    }) as unknown as {
      properties: { root: JsonSchema };
      $defs?: Readonly<Record<string, JsonSchema>>;
    };
    for (const [name, definition] of Object.entries(whole.$defs ?? {}))
      named[name] = withoutId(referring(definition) as JsonSchema);
    return referring(whole.properties.root) as JsonSchema;
  };
  return {
    request: (schema) => convert(schema, 'input'),
    answer: (schema) => convert(schema, 'output'),
    named,
  };
}

const withoutId = ({ id: _name, $id: _url, ...schema }: JsonSchema): JsonSchema => schema;

/** References into the document instead of into the single schema. */
function referring(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(referring);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) =>
      key === '$ref' && typeof inner === 'string'
        ? [key, inner.replace('#/$defs/', '#/components/schemas/')]
        : [key, referring(inner)],
    ),
  );
}
