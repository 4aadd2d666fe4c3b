import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import type { App } from '../../src/server/http/app-types.ts';

interface Document {
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, { responses: Responses }>>>>;
  readonly components: object;
}
type Responses = Readonly<Record<string, { readonly $ref?: string } | undefined>>;

/** One answer, as it left the server. */
export interface SentAnswer {
  readonly method: string;
  /** Path with query. */
  readonly url: string;
  readonly status: number;
  readonly contentType: string;
  readonly payload: string;
}

/** What is wrong with an answer, in a sentence; undefined when it is as the OpenAPI document says. */
export type AnswerChecker = (answer: SentAnswer) => string | undefined;

const documents = new Map<string, AnswerChecker>();

/** Holds answers against the document that the app itself gives out. */
export async function createAnswerChecker(app: App): Promise<AnswerChecker> {
  const { payload } = await app.inject({ url: '/apidocs' });
  const known = documents.get(payload);
  if (known !== undefined) return known;
  const made = checkerOf(JSON.parse(payload) as Document);
  documents.set(payload, made);
  return made;
}

/** Makes every `inject` of the app throw when an answer is not as documented. */
export async function checkAnswers(app: App): Promise<void> {
  const check = await createAnswerChecker(app);
  const inject = app.inject.bind(app) as (options: unknown) => Promise<InjectedAnswer>;
  const checked = async (options: unknown): Promise<InjectedAnswer> => {
    const response = await inject(options);
    const { method = 'GET', url = '/' } = response.raw.req;
    const fault = check({
      method,
      url,
      status: response.statusCode,
      contentType: response.headers['content-type'] ?? '',
      payload: response.payload,
    });
    if (fault !== undefined) throw new Error(`${fault} (${response.payload.slice(0, 400)})`);
    return response;
  };
  Object.assign(app, { inject: checked });
}

interface InjectedAnswer {
  readonly statusCode: number;
  readonly headers: { readonly 'content-type'?: string };
  readonly payload: string;
  readonly raw: { readonly req: { readonly method?: string; readonly url?: string } };
}

function checkerOf(document: Document): AnswerChecker {
  const ajv = new Ajv2020({ strict: false, allErrors: false, validateFormats: false });
  ajv.addSchema(document, 'openapi');
  const validators = new Map<string, ValidateFunction>();
  const validator = (pointer: string): ValidateFunction => {
    const known = validators.get(pointer);
    if (known !== undefined) return known;
    const made = ajv.compile({ $ref: `openapi#${pointer}` });
    validators.set(pointer, made);
    return made;
  };
  const [{ url: base } = { url: '' }] = document.servers;
  const prefix = base === '/' ? '' : base;
  const patterns = Object.keys(document.paths).map((path) => ({
    path,
    pattern: new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+')}/?$`),
  }));
  return ({ method, url, status, contentType, payload }) => {
    if (method === 'OPTIONS' || method === 'HEAD') return undefined;
    const what = `${method} ${url.slice(0, 200)} answered ${status}`;
    const whole = url.split('?')[0] ?? '';
    const isInside = whole.startsWith(`${prefix}/`);
    // Outside the api path stand the document itself and what an operator adds.
    if (!isInside && status < 400) return undefined;
    if (!contentType.startsWith('application/json')) return `${what} with ${contentType}`;
    const path = isInside ? whole.slice(prefix.length) : '';
    // A path without parameters wins, as in the router.
    const found = patterns
      .filter(({ pattern }) => pattern.test(path))
      .toSorted((a, b) => Number(a.path.includes('{')) - Number(b.path.includes('{')))
      .map((one) => one.path)
      .find((one) => document.paths[one]?.[method.toLowerCase()] !== undefined);
    const pointer = pointerOf(document, found, method.toLowerCase(), status);
    if (pointer === undefined)
      return `${what}, which the OpenAPI document does not have (src/server/http/openapi)`;
    const validate = validator(pointer);
    if (validate(parsed(payload))) return undefined;
    const [fault] = validate.errors ?? [];
    return `${what} with a body that is not as documented in src/server/http/openapi: ${fault?.instancePath ?? ''} ${fault?.message ?? ''} ${JSON.stringify(fault?.params ?? {})}`;
  };
}

/** Where the schema of an answer is. What belongs to no operation is an error of the general form. */
function pointerOf(
  document: Document,
  path: string | undefined,
  method: string,
  status: number,
): string | undefined {
  const inside = '/content/application~1json/schema';
  if (path === undefined) return status >= 400 ? '/components/schemas/Error' : undefined;
  const response = document.paths[path]?.[method]?.responses[String(status)];
  if (response === undefined) return undefined;
  if (response.$ref !== undefined) return `${response.$ref.slice(1)}${inside}`;
  const escaped = encodeURIComponent(path.replaceAll('~', '~0').replaceAll('/', '~1'));
  return `/paths/${escaped}/${method}/responses/${status}${inside}`;
}

function parsed(payload: string): unknown {
  try {
    return JSON.parse(payload) as unknown;
  } catch {
    return undefined;
  }
}
