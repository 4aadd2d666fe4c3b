import { z } from 'zod';
import * as entity from './entities.ts';
import { done, type Operations, page, USERS } from './operation.ts';

const ruleOfRole = { id: 'The role.', rule_id: 'The rule.' } as const;

/** Roles, and the rules that they are made of. */
export const RIGHT_OPERATIONS: Operations = {
  'GET /role': {
    tag: 'Roles',
    summary: 'List roles',
    description: 'The fixed ones, those of visible organizations, and the own ones.',
    callers: USERS,
    ...page(entity.role),
    errors: [404],
  },
  'GET /role/:id': {
    tag: 'Roles',
    summary: 'One role',
    callers: USERS,
    answers: { 200: entity.role },
  },
  'POST /role': {
    tag: 'Roles',
    summary: 'Create a role of an organization',
    description: 'Only with rules that the caller has.',
    callers: USERS,
    answers: { 201: entity.role },
    errors: [404],
  },
  'PATCH /role/:id': {
    tag: 'Roles',
    summary: 'Change a role',
    description: 'Not a fixed one. Only rules that the caller has can be added or taken away.',
    callers: USERS,
    answers: { 200: entity.role },
  },
  'DELETE /role/:id': {
    tag: 'Roles',
    summary: 'Delete a role',
    description: 'Not a fixed one. Refused while users have it, unless `delete_dependents` is on.',
    callers: USERS,
    answers: done,
    fields: { delete_dependents: 'Take it from its users.' },
  },
  'GET /role/:id/rule': {
    tag: 'Roles',
    summary: 'Rules of a role',
    callers: USERS,
    ...page(entity.rule),
  },
  'POST /role/:id/rule/:rule_id': {
    tag: 'Roles',
    summary: 'Add a rule to a role',
    callers: USERS,
    answers: { 201: z.array(entity.rule) },
    fields: ruleOfRole,
  },
  'DELETE /role/:id/rule/:rule_id': {
    tag: 'Roles',
    summary: 'Take a rule from a role',
    callers: USERS,
    answers: { 200: z.array(entity.rule) },
    fields: ruleOfRole,
  },
  'GET /rule': {
    tag: 'Roles',
    summary: 'List rules',
    description: 'They are the same on every server, ids included.',
    callers: USERS,
    ...page(entity.rule),
    errors: [404],
    fields: {
      name: 'Resource that the rule is about.',
      operation: 'view, edit, create, delete, send or receive, or the first letter.',
      scope: 'own, organization, collaboration or global, or the first three letters.',
      no_pagination: 'All at once.',
    },
  },
  'GET /rule/:id': {
    tag: 'Roles',
    summary: 'One rule',
    callers: USERS,
    answers: { 200: entity.rule },
  },
};
