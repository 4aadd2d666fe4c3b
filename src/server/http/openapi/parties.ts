import { z } from 'zod';
import * as entity from './entities.ts';
import { done, EVERYONE, type Operations, page, USERS } from './operation.ts';
import { RIGHT_OPERATIONS } from './rights.ts';

const USER_AND_NODE = ['user', 'node'] as const;

const organizations: Operations = {
  'GET /organization': {
    tag: 'Organizations',
    summary: 'List organizations',
    callers: EVERYONE,
    ...page(entity.organization),
  },
  'GET /organization/:id': {
    tag: 'Organizations',
    summary: 'One organization',
    callers: EVERYONE,
    answers: { 200: entity.organization },
  },
  'POST /organization': {
    tag: 'Organizations',
    summary: 'Create an organization',
    callers: USERS,
    answers: { 201: entity.organization },
  },
  'PATCH /organization/:id': {
    tag: 'Organizations',
    summary: 'Change an organization',
    description:
      'A node may only set the public key of its own organization, and only where there is none yet.',
    callers: USER_AND_NODE,
    answers: { 200: entity.organization },
  },
  'DELETE /organization/:id': {
    tag: 'Organizations',
    summary: 'Delete an organization',
    description: 'Not the own one. Refused while records depend on it and these are not included.',
    callers: USERS,
    answers: done,
  },
};

const collaborations: Operations = {
  'GET /collaboration': {
    tag: 'Collaborations',
    summary: 'List collaborations',
    callers: EVERYONE,
    ...page(entity.collaboration),
  },
  'GET /collaboration/:id': {
    tag: 'Collaborations',
    summary: 'One collaboration',
    callers: EVERYONE,
    answers: { 200: entity.collaboration },
  },
  'POST /collaboration': {
    tag: 'Collaborations',
    summary: 'Create a collaboration',
    description: 'Answers 200, as vantage6 4.x does.',
    callers: USERS,
    answers: { 200: entity.collaboration },
    errors: [404],
  },
  'PATCH /collaboration/:id': {
    tag: 'Collaborations',
    summary: 'Change a collaboration',
    callers: USERS,
    answers: { 200: entity.collaboration },
  },
  'DELETE /collaboration/:id': {
    tag: 'Collaborations',
    summary: 'Delete a collaboration',
    description: 'Refused while records depend on it and these are not included.',
    callers: USERS,
    answers: done,
  },
  'POST /collaboration/:id/organization': {
    tag: 'Collaborations',
    summary: 'Add an organization',
    callers: USERS,
    answers: { 200: z.array(entity.organization) },
    fields: { 'body.id': 'The organization.' },
  },
  'POST /collaboration/:id/node': {
    tag: 'Collaborations',
    summary: 'Move a node here',
    description:
      'Its organization must be in the collaboration, and it must have no open runs. It logs in again, with the same key.',
    callers: USERS,
    answers: { 201: z.array(entity.node) },
    fields: { 'body.id': 'The node.' },
  },
  'DELETE /collaboration/:id/node': {
    tag: 'Collaborations',
    summary: 'Take a node out',
    description: 'Deletes it: a node is in one collaboration.',
    callers: USERS,
    answers: done,
    fields: { 'body.id': 'The node.' },
  },
  'DELETE /collaboration/:id/organization': {
    tag: 'Collaborations',
    summary: 'Take an organization out',
    callers: USERS,
    answers: { 200: z.array(entity.organization) },
    fields: { 'body.id': 'The organization.' },
  },
};

const nodes: Operations = {
  'GET /node': {
    tag: 'Nodes',
    summary: 'List nodes',
    callers: USER_AND_NODE,
    ...page(entity.node),
  },
  'GET /node/:id': {
    tag: 'Nodes',
    summary: 'One node',
    callers: EVERYONE,
    answers: { 200: entity.node },
  },
  'POST /node': {
    tag: 'Nodes',
    summary: 'Register a node',
    description: 'One per organization and collaboration. The API key is in this answer only.',
    callers: USERS,
    answers: { 201: entity.createdNode },
    errors: [404],
  },
  'PATCH /node/:id': {
    tag: 'Nodes',
    summary: 'Change a node',
    description: 'A user may rename it; only the node itself sets and clears its address.',
    callers: USER_AND_NODE,
    answers: { 200: entity.node },
    fields: { ip: "The node's address in the VPN.", clear_ip: 'Forget the address; `ip` wins.' },
  },
  'DELETE /node/:id': {
    tag: 'Nodes',
    summary: 'Delete a node',
    description: 'Ends its tokens and gives its VPN access back.',
    callers: USERS,
    answers: done,
  },
};

const users: Operations = {
  'GET /user': { tag: 'Users', summary: 'List users', callers: USERS, ...page(entity.user) },
  'GET /user/:id': {
    tag: 'Users',
    summary: 'One user',
    callers: USERS,
    answers: { 200: entity.userWithPermissions },
  },
  'POST /user': {
    tag: 'Users',
    summary: 'Create a user',
    description: 'A caller can give only what it has itself.',
    callers: USERS,
    answers: { 201: entity.user },
    errors: [404],
  },
  'PATCH /user/:id': {
    tag: 'Users',
    summary: 'Change a user',
    description: 'Not the password, and nobody changes the own roles.',
    callers: USERS,
    answers: { 200: entity.user },
  },
  'DELETE /user/:id': {
    tag: 'Users',
    summary: 'Delete a user',
    callers: USERS,
    answers: done,
  },
};

/** Organizations, collaborations, nodes, users and their rights. */
export const PARTY_OPERATIONS: Operations = {
  ...organizations,
  ...collaborations,
  ...nodes,
  ...users,
  ...RIGHT_OPERATIONS,
};
