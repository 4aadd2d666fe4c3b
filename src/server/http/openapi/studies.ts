import { z } from 'zod';
import * as entity from './entities.ts';
import { done, EVERYONE, type Operations, page, USERS } from './operation.ts';

/** Studies. */
export const STUDY_OPERATIONS: Operations = {
  'GET /study': {
    tag: 'Studies',
    summary: 'List studies',
    description:
      'Nodes and algorithms see those of their collaboration that their organization is in.',
    callers: EVERYONE,
    ...page(entity.study),
  },
  'GET /study/:id': {
    tag: 'Studies',
    summary: 'One study',
    callers: EVERYONE,
    answers: { 200: entity.study },
  },
  'POST /study': {
    tag: 'Studies',
    summary: 'Create a study',
    callers: USERS,
    answers: { 201: entity.study },
    errors: [404],
  },
  'PATCH /study/:id': {
    tag: 'Studies',
    summary: 'Change a study',
    callers: USERS,
    answers: { 200: entity.study },
  },
  'DELETE /study/:id': {
    tag: 'Studies',
    summary: 'Delete a study',
    description: 'Refused while it has tasks and these are not included.',
    callers: USERS,
    answers: done,
  },
  'POST /study/:id/organization': {
    tag: 'Studies',
    summary: 'Add an organization',
    callers: USERS,
    answers: { 200: z.array(entity.organization) },
    fields: { 'body.id': 'The organization.' },
  },
  'DELETE /study/:id/organization': {
    tag: 'Studies',
    summary: 'Take an organization out',
    callers: USERS,
    answers: { 200: z.array(entity.organization) },
    fields: { 'body.id': 'The organization.' },
  },
};
