import { z } from 'zod';
import { RUN_STATUSES } from '../../../core/protocol/entities.ts';

/**
 * Records as answers carry them (vantage6 4.14 server, resource/common/output_schema.py). Written by hand, since nothing in
 * production checks an answer; tests check every answer that they get against these.
 */

export const id = z.int().min(1).max(2_147_483_647);
export const count = z.int().min(0);
const text = z.string();
const optional = text.nullable();
export const link = text.describe('Path from the root.');
export const date = z
  .string()
  .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?$/)
  .describe('ISO 8601 in UTC without a zone, six decimals when there is a fraction.');
const optionalDate = date.nullable();

/** Names a schema of the document. */
const component = <T extends z.ZodType>(name: string, description: string, schema: T): T =>
  schema.meta({ id: name, description });

export const relation = component(
  'Relation',
  'A related record.',
  z.object({ id, link, methods: z.array(z.enum(['GET', 'POST', 'PATCH', 'DELETE'])) }),
);

export const organization = component(
  'Organization',
  'A party.',
  z.object({
    id,
    name: text,
    domain: optional,
    address1: optional,
    address2: optional,
    zipcode: optional,
    country: optional,
    public_key: text.describe('base64 of a PEM text (SubjectPublicKeyInfo); empty when none.'),
    collaborations: link,
    nodes: link,
    users: link,
    tasks: link,
    runs: link,
    studies: link,
  }),
);

export const collaboration = component(
  'Collaboration',
  'Organizations that work together.',
  z.object({
    id,
    name: text,
    encrypted: z.boolean().describe('Whether inputs and results are encrypted end to end.'),
    organizations: z.union([link, z.array(organization)]),
    nodes: link,
    tasks: link,
    studies: link,
    algorithm_stores: link,
  }),
);

export const study = component(
  'Study',
  'Some of the organizations of a collaboration.',
  z.object({
    id,
    name: text,
    collaboration: relation,
    organizations: z.union([link, z.array(organization)]),
    tasks: link,
  }),
);

const nodeFields = {
  id,
  name: text,
  type: z.literal('node'),
  status: z.enum(['online', 'offline']).nullable(),
  ip: z.ipv4().nullable().describe("The node's address in the VPN."),
  last_seen: optionalDate,
  organization: relation,
  collaboration: relation,
  config: z
    .array(z.object({ key: text, value: text }))
    .describe('What the node tells of itself; empty while it is offline.'),
};
export const node = component(
  'Node',
  "An organization's part in one collaboration.",
  z.object(nodeFields),
);
export const createdNode = component(
  'CreatedNode',
  'A node with its API key, which is shown this once.',
  z.object({ ...nodeFields, api_key: z.uuid() }),
);

const userFields = {
  id,
  username: text,
  firstname: text,
  lastname: text,
  email: text,
  type: z.literal('user'),
  status: z.null(),
  ip: z.null(),
  last_seen: optionalDate,
  organization: relation,
  roles: link,
  rules: link,
};
export const user = component('User', 'A person.', z.object(userFields));
export const userWithPermissions = component(
  'UserWithPermissions',
  'A person, with permissions when they were asked for.',
  z.object({
    ...userFields,
    permissions: z
      .object({ roles: z.array(id), rules: z.array(id), orgs_in_collabs: z.array(id) })
      .optional(),
  }),
);

export const rule = component(
  'Rule',
  'A right: what (operation) may be done to which records (name), and whose (scope).',
  z.object({
    id,
    name: text,
    operation: text,
    scope: text,
    description: text,
    users: link,
  }),
);

export const role = component(
  'Role',
  'A set of rules.',
  z.object({
    id,
    name: text,
    description: text,
    is_default_role: z.boolean().describe('One of those that every server has.'),
    organization: relation.nullable().describe('Null: for all organizations.'),
    rules: link,
    users: link,
  }),
);

export const port = component(
  'RunPort',
  "A tunnel port of a run's node.",
  z.object({
    id,
    port: z.int().min(1).max(65_535),
    label: optional,
    protocol: z.enum(['tcp', 'udp']).describe('Not in vantage6 4.x.'),
  }),
);

const status = z.enum(RUN_STATUSES);

const taskFields = {
  id,
  job_id: id.describe('Shared by a task and all of its subtasks.'),
  name: text,
  description: text,
  image: text,
  status: status.describe('Computed from the runs.'),
  created_at: date,
  finished_at: optionalDate,
  databases: z.array(z.object({ label: text, parameters: text.describe('JSON text.') })),
  collaboration: relation,
  init_org: relation,
  init_user: relation.nullable(),
  parent: relation.nullable(),
  study: relation.nullable(),
  algorithm_store: relation.nullable(),
  children: link,
};
export const plainTask = component(
  'TaskOfRun',
  'A task as it stands inside a run.',
  z.object({ ...taskFields, runs: link, results: link }),
);

const runFields = {
  id,
  status,
  input: text.describe('base64, or three times base64 with $ between when encrypted.'),
  log: optional,
  assigned_at: optionalDate,
  started_at: optionalDate,
  finished_at: optionalDate,
  cleanup_at: optionalDate,
  blob_storage_used: z.boolean(),
  organization: relation,
  results: relation,
  node: z.union([
    z.object({ id, name: text, ip: z.ipv4().nullable(), status: z.enum(['online', 'offline']) }),
    z.object({}).describe('The organization has no node any more.'),
  ]),
  ports: z.array(port),
};
export const run = component(
  'Run',
  "One organization's execution of a task.",
  z.object({ ...runFields, task: relation }),
);
export const runWithTask = component(
  'RunWithTask',
  'A run, with its whole task when `include=task` asks for it.',
  z.object({ ...runFields, task: z.union([relation, plainTask]) }),
);

const { input: _input, log: _log, ...networkFields } = runFields;
export const networkRun = component(
  'NetworkRun',
  'A run without its texts, when `view=network` asks for it.',
  z.object({ ...networkFields, task: z.union([relation, plainTask]) }),
);

export const runWithResult = component(
  'RunWithResult',
  'A run and its result in one, as vantage6 3.x has them.',
  z.object({ ...runFields, task: relation, result: optional }),
);

export const result = component(
  'Result',
  'What a run gave back.',
  z.object({
    id,
    result: optional.describe('base64, or three times base64 with $ between when encrypted.'),
    blob_storage_used: z.boolean(),
    cleanup_at: optionalDate,
    run: relation,
    task: relation,
  }),
);

export const task = component(
  'Task',
  'What is asked. `runs` and `results` are links, or the records with `include`.',
  z.object({
    ...taskFields,
    runs: z.union([link, z.array(run)]),
    results: z.union([link, z.array(result)]),
  }),
);

export const tokens = component(
  'Tokens',
  'Access and refresh token, and where to find the account.',
  z.object({
    access_token: text,
    refresh_token: text,
    refresh_url: link,
    user_url: link.optional(),
    node_url: link.optional(),
  }),
);

export const address = component(
  'AlgorithmAddress',
  'Where a run can be reached through the VPN.',
  z.object({
    ip: z.ipv4().nullable(),
    port: z.int().min(1).max(65_535),
    label: optional,
    organization_id: id,
    task_id: id,
    parent_id: id.nullable(),
    protocol: z.enum(['tcp', 'udp']).describe('Not in vantage6 4.x.'),
  }),
);

/** Every error answer. */
export const errorBody = component(
  'Error',
  'What went wrong. Programs branch on `code`; `msg` is for people and carries the next step.',
  z.object({
    msg: text,
    code: z.string().regex(/^V6_[A-Z0-9_]+$/),
    errors: z
      .record(text, z.unknown())
      .optional()
      .describe(
        'By field, nested as the request is; leaves are lists of sentences. What concerns the whole stands under `_schema`.',
      ),
  }),
);
