import { z } from 'zod';
import * as entity from './entities.ts';
import { done, NODES, type Operations, USERS } from './operation.ts';

const jwtToken = { 'jwt-token': 'The access token again.' } as const;

const enrolment = z.object({
  qr_uri: z.string().describe('For a QR code: `otpauth://totp/…`.'),
  otp_secret: z.string().describe('32 characters of base32.'),
  msg: z.string(),
});

/** Logins, tokens, passwords, keys. */
export const ACCOUNT_OPERATIONS: Operations = {
  'POST /token/user': {
    tag: 'Tokens',
    summary: 'Log in as a user',
    description:
      'Tokens; or, where the server asks for a second factor, a new secret for a user who has none in use, or `msg` alone when the code is missing. A code is good once.',
    callers: [],
    answers: { 200: z.union([entity.tokens, enrolment, z.object({ msg: z.string() })]) },
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
    description:
      'The refresh token stands in the authorization header; the body is ignored. It is good once: using it again later ends the session, but a repetition within 30 s does not, nor one whose answer was never used.',
    callers: 'refresh',
    answers: { 200: entity.tokens },
  },
  'POST /token/logout': {
    tag: 'Tokens',
    summary: 'End a session',
    description: "Not in vantage6 4.x. The caller's own session, unless the body says otherwise.",
    callers: ['user', 'node'],
    answers: done,
    errors: [404],
    fields: {
      all: 'True: all sessions of the account.',
      session: 'Another session of the account, as listed.',
      user: 'All sessions of this user, whom the caller may edit.',
    },
  },
  'GET /token/session': {
    tag: 'Tokens',
    summary: 'Live sessions of the own account',
    description: 'Not in vantage6 4.x. Nodes appear here once they have refreshed their tokens.',
    callers: ['user', 'node'],
    answers: {
      200: z.object({
        data: z.array(
          z.object({
            id: z.string(),
            source: z.string().nullable(),
            created_at: z.string(),
            refreshed_at: z.string(),
            expires_at: z.string(),
            is_current: z.boolean(),
          }),
        ),
      }),
    },
  },
  'POST /token/user/validate': {
    tag: 'Tokens',
    summary: 'Whose token this is',
    description: 'For algorithm stores.',
    callers: USERS,
    answers: {
      200: z.object({
        msg: z.string(),
        user_id: z.int(),
        username: z.string(),
        email: z.string(),
        organization_id: z.int(),
      }),
    },
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
  'POST /recover/lost': {
    tag: 'Accounts',
    summary: 'Ask for a mail with a token for a new password',
    description: 'The answer is the same whether there is such a user or not.',
    callers: [],
    answers: done,
    errors: [501],
  },
  'POST /recover/reset': {
    tag: 'Accounts',
    summary: 'Set a new password with a token from a mail',
    description: 'The token is good once. Ends all tokens of the user.',
    callers: [],
    answers: done,
    fields: { reset_token: 'From the mail.' },
  },
  'POST /recover/2fa/lost': {
    tag: 'Accounts',
    summary: 'Ask for a mail with a token for a new second factor',
    callers: [],
    answers: done,
    errors: [401, 501],
    fields: { email: 'Not used; the mail goes to the address of the user.' },
  },
  'POST /recover/2fa/reset': {
    tag: 'Accounts',
    summary: 'Begin a new second factor with a token from a mail',
    description: 'The token is good once. The old second factor and all tokens of the user end.',
    callers: [],
    answers: { 200: enrolment },
    fields: { reset_token: 'From the mail.' },
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
