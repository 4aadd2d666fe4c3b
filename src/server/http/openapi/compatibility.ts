import { z } from 'zod';
import * as entity from './entities.ts';
import { EVERYONE, type Operations, page, USERS } from './operation.ts';

const USER_AND_NODE = ['user', 'node'] as const;
const nothing = { 200: z.object({}).describe('Never sent.') } as const;

/** What old algorithms ask for, and what this server does not have. */
export const COMPATIBILITY_OPERATIONS: Operations = {
  'GET /task/:id/result': {
    tag: 'Runs',
    summary: 'Runs of a task with their results, as vantage6 3.x has them',
    description: 'A bare list. For algorithm images of that time; vantage6 4.0 removed it.',
    callers: EVERYONE,
    answers: { 200: z.array(entity.runWithResult) },
  },
  'GET /collaboration/:id/organization': {
    tag: 'Collaborations',
    summary: 'Organizations in it, as vantage6 3.x has them',
    description: 'A bare list. For algorithm images of that time; vantage6 4.0 removed it.',
    callers: EVERYONE,
    answers: { 200: z.array(entity.organization) },
  },
  'POST /column': {
    tag: 'Nodes',
    summary: "Names of a database's columns",
    description:
      'As nodes of the named organizations tell them. 404 when none does; vantage6 4.x starts a task then.',
    callers: USERS,
    answers: { 200: z.object({ columns: z.array(z.string()) }) },
    errors: [404],
    fields: {
      db_label: 'Label of the database.',
      organizations: 'Whose nodes to ask.',
      query: 'Ignored.',
      sheet_name: 'Ignored.',
    },
  },
  'GET /algorithmstore': {
    tag: 'Collaborations',
    summary: 'List algorithm stores',
    description: 'This server has none.',
    callers: USER_AND_NODE,
    ...page(z.object({})),
  },
  'GET /algorithmstore/:id': {
    tag: 'Collaborations',
    summary: 'One algorithm store',
    description: 'This server has none.',
    callers: USER_AND_NODE,
    answers: nothing,
  },
  'POST /algorithmstore': {
    tag: 'Collaborations',
    summary: 'Link an algorithm store',
    description: 'Not possible here.',
    callers: USERS,
    answers: nothing,
    errors: [501],
  },
  'PATCH /algorithmstore/:id': {
    tag: 'Collaborations',
    summary: 'Change an algorithm store',
    description: 'Not possible here.',
    callers: USERS,
    answers: nothing,
    errors: [501],
  },
  'DELETE /algorithmstore/:id': {
    tag: 'Collaborations',
    summary: 'Unlink an algorithm store',
    description: 'Not possible here.',
    callers: USERS,
    answers: nothing,
    errors: [501],
  },
  'POST /blobstream': {
    tag: 'Runs',
    summary: 'Store a blob',
    description: 'Not possible here: `GET /blobstream/status` says so.',
    callers: EVERYONE,
    answers: nothing,
    errors: [501],
  },
  'GET /blobstream/:id': {
    tag: 'Runs',
    summary: 'Read a blob',
    description: 'This server has none.',
    callers: EVERYONE,
    answers: nothing,
    fields: { id: 'The blob.' },
  },
};
