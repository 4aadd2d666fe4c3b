import { request } from 'node:http';
import { V6Error } from '../../core/errors.ts';
import { isRecord } from '../../core/protocol/json.ts';
import type {
  PortalAdmin,
  PortalReport,
  RevokedNode,
} from '../../portal/interfaces/portal-admin.ts';

const ANSWER_MS = 5000;

/** Asks the portal process over its unix socket. */
export const portalAdmin: PortalAdmin = {
  report: async (socket) => (await ask(socket, 'GET', '/report')) as PortalReport,
  revoke: async (socket, input) => (await ask(socket, 'POST', '/revoke', input)) as RevokedNode,
};

async function ask(
  socketPath: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<unknown> {
  const answer = await exchange(socketPath, method, path, body);
  if (answer.status === 200) return answer.body;
  const message =
    isRecord(answer.body) && typeof answer.body.msg === 'string'
      ? answer.body.msg
      : `The portal answered ${answer.status}`;
  if (answer.status === 404) {
    throw new V6Error('V6_REQUEST_NOT_FOUND', message, {
      hints: ['See which nodes there are: v6 portal status'],
    });
  }
  throw new V6Error('V6_PORTAL_ANSWER', message, {
    hints: ['Look at the log of the portal.'],
    details: { status: answer.status },
  });
}

function exchange(
  socketPath: string,
  method: string,
  path: string,
  body: unknown,
): Promise<{ status: number; body: unknown }> {
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown): void =>
      reject(
        new V6Error('V6_PORTAL_NOT_RUNNING', `The portal does not answer at ${socketPath}`, {
          cause,
          hints: ['Start it: v6 portal start'],
        }),
      );
    const text = body === undefined ? '' : JSON.stringify(body);
    const sent = request(
      { socketPath, method, path, headers: { 'content-type': 'application/json' } },
      (response) => {
        let received = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          received += chunk;
        });
        response.on('error', fail);
        response.on('end', () => {
          try {
            resolve({ status: response.statusCode ?? 0, body: JSON.parse(received) as unknown });
          } catch (cause) {
            fail(cause);
          }
        });
      },
    );
    sent.setTimeout(ANSWER_MS, () => sent.destroy(new Error(`no answer within ${ANSWER_MS} ms`)));
    sent.on('error', fail);
    sent.end(text);
  });
}
