import { z } from 'zod';
import * as entity from './entities.ts';
import { done, EVERYONE, NODES, type Operations, page, USERS } from './operation.ts';

const tasks: Operations = {
  'GET /task': { tag: 'Tasks', summary: 'List tasks', callers: EVERYONE, ...page(entity.task) },
  'GET /task/:id': {
    tag: 'Tasks',
    summary: 'One task',
    callers: EVERYONE,
    answers: { 200: entity.task },
  },
  'GET /task/:id/status': {
    tag: 'Tasks',
    summary: 'Status of a task',
    callers: EVERYONE,
    answers: { 200: entity.task.pick({ status: true }) },
  },
  'POST /task': {
    tag: 'Tasks',
    summary: 'Create a task',
    description:
      'One run per organization. From a container it becomes a subtask: image, job and starter are those of its task.',
    callers: ['user', 'container'],
    answers: { 201: entity.task },
    errors: [404],
  },
  'DELETE /task/:id': {
    tag: 'Tasks',
    summary: 'Delete a task',
    description: 'With its runs and subtasks; kills what is open first.',
    callers: USERS,
    answers: done,
  },
  'POST /kill/task': {
    tag: 'Tasks',
    summary: 'Kill a task',
    description: 'Ends all open runs of the task and of its subtasks.',
    callers: USERS,
    answers: done,
    errors: [404],
    fields: { id: 'The task.' },
  },
  'POST /kill/node/tasks': {
    tag: 'Tasks',
    summary: 'End everything on a node',
    description: 'Ends its open runs. A node that is away hears of it when it comes back.',
    callers: USERS,
    answers: done,
    errors: [404],
    fields: { id: 'The node.' },
  },
};

const runs: Operations = {
  'GET /run': {
    tag: 'Runs',
    summary: 'List runs',
    callers: EVERYONE,
    ...page(z.union([entity.runWithTask, entity.networkRun])),
    errors: [404],
  },
  'GET /run/:id': {
    tag: 'Runs',
    summary: 'One run',
    callers: EVERYONE,
    answers: { 200: entity.runWithTask },
  },
  'PATCH /run/:id': {
    tag: 'Runs',
    summary: 'Tell how a run goes',
    description:
      'Only what is sent changes. No status goes back to pending; a final one ends the run, and an ended run takes only the result and log of that end.',
    callers: NODES,
    answers: { 200: entity.run },
  },
  'GET /result': {
    tag: 'Runs',
    summary: 'List results',
    callers: EVERYONE,
    ...page(entity.result),
    errors: [404],
  },
  'GET /result/:id': {
    tag: 'Runs',
    summary: 'One result',
    description: 'The id is that of the run.',
    callers: EVERYONE,
    answers: { 200: entity.result },
  },
};

const config = {
  200: z.object({
    ovpn_config: z.string().describe('An OpenVPN client file.'),
    reclaimed: z
      .object({ node: z.int(), name: z.string() })
      .optional()
      .describe('Only where the portal was full: the node whose lease ended for this one.'),
  }),
};

const vpn: Operations = {
  'GET /vpn': {
    tag: 'VPN',
    summary: 'A new client config',
    description:
      'Refused over plain HTTP outside loopback, private and trusted networks: it holds a private key.',
    callers: NODES,
    answers: config,
    errors: [501, 502],
  },
  'POST /vpn/update': {
    tag: 'VPN',
    summary: 'The client config with a new keypair',
    description:
      'For nodes that have one. Refused over plain HTTP as `GET /vpn` is. vantage6 4.6 removed it.',
    callers: NODES,
    answers: config,
    errors: [404, 501, 502],
  },
  'POST /vpn/release': {
    tag: 'VPN',
    summary: 'Gives the VPN lease back',
    description: 'Of v6; a node that stops for long says so. Nothing held is fine.',
    callers: NODES,
    answers: { 200: z.object({ msg: z.string() }) },
    errors: [501, 502],
  },
  'POST /port': {
    tag: 'VPN',
    summary: 'Register a tunnel port of an own run',
    callers: NODES,
    answers: { 201: entity.port },
    errors: [404],
  },
  'DELETE /port': {
    tag: 'VPN',
    summary: 'Remove the tunnel ports of an own run',
    callers: NODES,
    answers: done,
    errors: [404],
  },
  'GET /port': {
    tag: 'VPN',
    summary: 'List tunnel ports',
    callers: ['user', 'node'],
    ...page(entity.port),
    errors: [404],
  },
  'GET /port/:id': {
    tag: 'VPN',
    summary: 'One tunnel port',
    callers: ['user', 'node'],
    answers: { 200: entity.port },
  },
  'GET /vpn/algorithm/addresses': {
    tag: 'VPN',
    summary: 'Addresses of runs, for an algorithm',
    description:
      "Those of the token's task, unless flags say otherwise. Of others only runs that are active at nodes that are online. At most one `only_` flag.",
    callers: ['container'],
    answers: { 200: z.object({ addresses: z.array(entity.address) }) },
  },
};

/** Tasks, runs, results, and what lets runs reach each other. */
export const WORK_OPERATIONS: Operations = { ...tasks, ...runs, ...vpn };
