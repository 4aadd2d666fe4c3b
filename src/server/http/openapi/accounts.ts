import { z } from 'zod';
import * as entity from './entities.ts';
import { done, NODES, type Operations, USERS } from './operation.ts';

const jwtToken = { 'jwt-token': 'The access token again.' } as const;

/** Logins, tokens, passwords, keys. */
export const ACCOUNT_OPERATIONS: Operations = {
  'POST /token/user': {
    tag: 'Tokens',
    summary: 'Log in as a user',
    callers: [],
    answers: { 200: entity.tokens },
    headers: jwtToken,
    errors: [401],
  },
  'POST /token/node': {
    tag: 'Tokens',
    summary: 'Log in as a node',
    callers: [],
    answers: { 200: entity.tokens },
    headers: jwtToken,
    errors: [401],
  },
  'POST /token/refresh': {
    tag: 'Tokens',
    summary: 'New tokens for a refresh token',
    description: 'The refresh token stands in the authorization header; the body is ignored.',
    callers: 'refresh',
    answers: { 200: entity.tokens },
  },
  'POST /token/container': {
    tag: 'Tokens',
    summary: "Token for the algorithm container of a node's run",
    description: 'Bound to the run: it ends with it.',
    callers: NODES,
    answers: { 200: z.object({ container_token: z.string() }) },
    fields: { image: 'As the task has it, to the byte.' },
  },
  'PATCH /password/change': {
    tag: 'Accounts',
    summary: 'Change the own password',
    description: 'Ends all tokens of the user.',
    callers: USERS,
    answers: done,
  },
  'POST /recover/node': {
    tag: 'Accounts',
    summary: 'New API key for a node',
    description: "Ends the old key and the node's tokens.",
    callers: USERS,
    answers: { 200: z.object({ api_key: z.uuid() }) },
    errors: [404],
    fields: { id: 'The node.' },
  },
};
