import { z } from 'zod';
import { EVERYONE, type Operations } from './operation.ts';

const version = z.object({
  version: z.string().describe('The vantage6 release whose interface this server offers.'),
  v6: z.string().describe('Release of the server itself.'),
});
const healthy = z.object({ database: z.literal(true) });
const unhealthy = z.object({ database: z.literal(false), msg: z.string(), code: z.string() });

/** What has no records. */
export const SERVICE_OPERATIONS: Operations = {
  'GET /version': {
    tag: 'Service',
    summary: 'Versions of interface and server',
    callers: [],
    answers: { 200: version },
  },
  'GET /health': {
    tag: 'Service',
    summary: 'Whether the server can work',
    description: 'Answers 503 when the database does not answer, so that a load balancer sees it.',
    callers: [],
    answers: { 200: healthy, 503: unhealthy },
  },
  'GET /apidocs': {
    tag: 'Service',
    summary: 'This document',
    description:
      'OpenAPI 3.1, made from the schemas that the server checks requests with. Also at `/apidocs` outside the api path.',
    callers: [],
    answers: { 200: z.looseObject({ openapi: z.string() }) },
  },
  'GET /blobstream/status': {
    tag: 'Service',
    summary: 'Whether there is a blob store',
    callers: EVERYONE,
    answers: { 200: z.object({ blob_store_enabled: z.literal(false) }) },
  },
};
