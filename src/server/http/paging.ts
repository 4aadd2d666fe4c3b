import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Page } from '../../core/protocol/entities.ts';
import type { PageRequest, Rows } from '../interfaces/store.ts';

interface PagingQuery {
  readonly page: number;
  readonly per_page: number;
  readonly sort?: string | undefined;
}

/** What to ask the store for. `sort` is a list of names, `-` in front means descending. */
export function pageRequest({ page, per_page: limit, sort }: PagingQuery): PageRequest {
  return {
    offset: (page - 1) * limit,
    limit,
    sort: (sort ?? '')
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== '')
      .map((part) => ({
        column: part.replace(/^[+-]/, ''),
        descending: part.startsWith('-'),
      })),
  };
}

/** Links as upstream makes them: paths from the root with the caller's own query, `next` only when there is more. */
export function pageLinks(url: string, page: number, last: number): Page<never>['links'] {
  const at = (target: number): string => {
    const [path = '', query = ''] = url.split('?');
    const search = new URLSearchParams(query);
    search.set('page', String(target));
    return `${path}?${search.toString()}`;
  };
  return {
    first: at(1),
    ...(page > 1 ? { previous: at(page - 1) } : {}),
    self: at(page),
    ...(page < last ? { next: at(page + 1) } : {}),
    ...(last > 0 ? { last: at(last) } : {}),
  };
}

/** Sends one page of a list, with the count and the links in headers too. */
export function sendPage<T, R>(
  request: FastifyRequest,
  reply: FastifyReply,
  answer: { readonly query: PagingQuery; readonly rows: Rows<T>; readonly render: (row: T) => R },
): Page<R> {
  const { query, rows, render } = answer;
  const links = pageLinks(request.url, query.page, Math.ceil(rows.total / query.per_page));
  const header = Object.entries(links).map(([rel, link]) => `<${link}>; rel=${rel}`);
  reply.header('total-count', String(rows.total));
  reply.header('link', header.join(','));
  reply.header('access-control-expose-headers', 'total-count, Link');
  return { data: rows.rows.map(render), links };
}
