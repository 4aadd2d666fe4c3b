import { z } from 'zod';

/** Sections of the document, in reading order. */
export const TAGS = {
  Service: 'Version, health and this document.',
  Tokens: 'Logins, refresh, and the tokens of algorithm containers.',
  Accounts: 'Passwords, second factors and keys: changing them, and getting back in.',
  Organizations: 'The parties.',
  Collaborations: 'Organizations that work together.',
  Studies: 'Some of the organizations of a collaboration.',
  Nodes: "An organization's part in one collaboration.",
  Users: 'People.',
  Roles: 'What users may do: roles and the rules they are made of.',
  Tasks: 'What is asked, and how to end it.',
  Runs: "One organization's execution of a task, and its result.",
  VPN: 'Client configs, tunnel ports, and the addresses that algorithms reach each other at.',
} as const;
export type Tag = keyof typeof TAGS;

export type CallerKind = 'user' | 'node' | 'container';

/** What an error answer of an operation can mean, beyond those that every operation of its form has. */
export type ErrorStatus = 400 | 401 | 403 | 404 | 409 | 413 | 415 | 422 | 429 | 501 | 502 | 503;

/** What stands in the document for one route, beside what its request schemas say. */
export interface Operation {
  readonly tag: Tag;
  /** A few words, without a full stop. */
  readonly summary: string;
  /** Sentences: effects, order, what differs from vantage6 4.x. */
  readonly description?: string;
  /** Empty: public. `refresh`: the bearer is a refresh token. */
  readonly callers: readonly CallerKind[] | 'refresh';
  /** Bodies of good answers by status, and of others that are no errors of the general form. */
  readonly answers: Readonly<Record<number, z.ZodType>>;
  /** Headers of good answers, with their meaning. */
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * Error answers that this operation has on its own. Those that follow from its form need no mention: 400 (anything is
   * parsed), 401, 403 and 422 (a token is needed), 404 (an id anywhere), 414 (an id in the path), 413 and 415 (no GET), 429,
   * 500 and 503.
   */
  readonly errors?: readonly ErrorStatus[];
  /** Meaning of parameters and body fields whose name does not tell it, or tells something else than elsewhere. */
  readonly fields?: Readonly<Record<string, string>>;
}

/** `GET /task/:id`, without the api path. */
export type RouteKey = `${'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE'} /${string}`;
export type Operations = Readonly<Record<RouteKey, Operation>>;

export const EVERYONE = ['user', 'node', 'container'] as const;
export const USERS = ['user'] as const;
export const NODES = ['node'] as const;

/** A list with paging: body and headers. */
export function page<T extends z.ZodType>(item: T) {
  return {
    answers: {
      200: z.object({
        data: z.array(item),
        links: z
          .object({
            first: link,
            previous: link.optional(),
            self: link,
            next: link.optional(),
            last: link.optional(),
          })
          .describe(
            "Paths from the root with the caller's own query. `previous` and `next` are absent on the first and last page, `last` when nothing was found.",
          ),
      }),
    },
    headers: {
      'total-count': 'How many records there are on all pages.',
      link: 'The same links in the form of RFC 8288.',
    },
    // An id in a filter that does not exist.
    errors: [404],
  } as const;
}

const link = z.string();

/** Answers that only say what was done. */
export const done = { 200: z.object({ msg: z.string() }) } as const;
