import { lstat, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { V6Error } from '../../../../src/core/errors.ts';
import { silentLogger } from '../../../../src/core/logger.ts';
import type { UpstreamRequest } from '../../../../src/node/interfaces/proxy-upstream.ts';
import { hashToken, SlotProxy } from '../../../../src/node/proxy/slot-proxy.ts';
import { tokenFor } from '../../../fakes/coordinator.ts';
import { until } from '../../../support/wait.ts';

interface Seen extends Omit<UpstreamRequest, 'body' | 'signal'> {
  readonly text: string;
}

let folder: string;
let proxy: SlotProxy;
let seen: Seen[];
/** While the server has the request. */
let whenAsked: () => void | Promise<void>;
let answer: { status: number; body: string } | V6Error;

beforeEach(async () => {
  folder = path.join(await mkdtemp(path.join(tmpdir(), 'v6-proxy-')), 'proxy');
  seen = [];
  whenAsked = () => {};
  answer = { status: 200, body: '{"ok":true}' };
  proxy = new SlotProxy(
    {
      async forward({ body, signal: _signal, ...rest }) {
        const chunks: Uint8Array[] = [];
        if (body !== undefined) for await (const chunk of body) chunks.push(chunk);
        seen.push({ ...rest, text: Buffer.concat(chunks).toString() });
        await whenAsked();
        if (answer instanceof V6Error) throw answer;
        const text = answer.body;
        async function* content() {
          yield Buffer.from(text);
        }
        return { status: answer.status, contentType: 'application/json', body: content() };
      },
    },
    silentLogger,
    { folder, maxBodyBytes: 100 },
  );
  await proxy.open(0);
  proxy.assign(0, { run: 41, task: 17, tokenHash: hashToken(tokenFor(17)) });
});

afterEach(async () => {
  await proxy.closeAll();
  await rm(path.dirname(folder), { recursive: true, force: true });
});

function ask(
  method: string,
  target: string,
  options: { token?: string; body?: string; index?: number; chunked?: boolean } = {},
): Promise<{ status: number; body: Record<string, unknown> }> {
  const { token, body, index = 0, chunked = false } = options;
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        socketPath: proxy.socketOf(index),
        method,
        path: target,
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined || chunked ? {} : { 'content-length': Buffer.byteLength(body) }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
      },
      (incoming) => {
        let text = '';
        incoming.on('data', (chunk) => {
          text += String(chunk);
        });
        incoming.on('end', () =>
          resolve({
            status: incoming.statusCode ?? 0,
            body: JSON.parse(text) as Record<string, unknown>,
          }),
        );
        incoming.on('error', reject);
      },
    );
    outgoing.on('error', reject);
    if (body !== undefined) outgoing.write(body);
    outgoing.end();
  });
}

describe('the proxy of a slot', () => {
  it('listens again for the same run where somebody removed its socket', async () => {
    expect(await proxy.mend(0)).toBe(false);
    await rm(proxy.socketOf(0));
    expect(await proxy.mend(0)).toBe(true);
    expect((await ask('GET', '/task/17', { token: tokenFor(17) })).status).toBe(200);
    await rm(proxy.socketOf(0));
    await writeFile(proxy.socketOf(0), 'no socket');
    expect(await proxy.mend(0)).toBe(true);
    expect((await ask('GET', '/task/17', { token: tokenFor(17) })).status).toBe(200);
    expect(await proxy.mend(0)).toBe(false);
    expect(await proxy.mend(7)).toBe(false);
  });

  it('listens again after an attempt to do so that failed', async () => {
    await rm(folder, { recursive: true });
    await writeFile(folder, 'in the way');
    await expect(proxy.mend(0)).rejects.toMatchObject({ code: 'V6_NODE_NOT_READY' });
    await expect(proxy.mend(0)).rejects.toMatchObject({ code: 'V6_NODE_NOT_READY' });
    await rm(folder);
    expect(await proxy.mend(0)).toBe(true);
    expect((await ask('GET', '/task/17', { token: tokenFor(17) })).status).toBe(200);
    await proxy.close(0);
    expect(await proxy.mend(0)).toBe(false);
  });

  it('cuts calls that are open when its slot is closed, of before it listened again too', async () => {
    for (const isMendedWell of [true, false]) {
      await proxy.open(0);
      const never = Promise.withResolvers<void>();
      const asked = Promise.withResolvers<void>();
      whenAsked = () => {
        asked.resolve();
        return never.promise;
      };
      const call = ask('GET', '/version').catch((error: unknown) => error);
      await asked.promise;
      await rm(folder, { recursive: true });
      if (isMendedWell) await proxy.mend(0);
      else {
        await writeFile(folder, 'in the way');
        await proxy.mend(0).catch(() => undefined);
      }
      await proxy.closeAll();
      expect(await call).toMatchObject({ code: 'ECONNRESET' });
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('does not listen for a slot that was closed while it was being opened', async () => {
    const opening = proxy.open(3).catch((error: unknown) => error);
    await proxy.close(3);
    expect(await opening).toMatchObject({ code: 'V6_NODE_NOT_READY' });
    await expect(ask('GET', '/version', { index: 3 })).rejects.toMatchObject({ code: 'ENOENT' });
    await proxy.open(3);
    await rm(proxy.socketOf(3));
    const mending = proxy.mend(3).catch((error: unknown) => error);
    await proxy.close(3);
    await mending;
    await expect(ask('GET', '/version', { index: 3 })).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('tells that a socket is gone, once, and nothing of one that it closed or replaced itself', async () => {
    const hints: string[] = [];
    const end = new AbortController();
    proxy.watch((hint) => hints.push(hint), end.signal);
    await rm(proxy.socketOf(0));
    await until('the loss is told', 5000, () => hints.length > 0);
    await proxy.mend(0);
    await proxy.open(1);
    await proxy.close(1);
    await writeFile(proxy.socketOf(5), 'of nobody');
    await rm(proxy.socketOf(5));
    await sleep(500);
    expect(hints).toEqual(['the socket slot-0.sock of the proxy is gone']);
    end.abort();
    await rm(proxy.socketOf(0));
    await sleep(500);
    expect(hints).toHaveLength(1);
  });

  it('passes a request of its run on, whole, and the answer with its true status back', async () => {
    answer = { status: 400, body: '{"msg":"no"}' };
    const body = '{"name":"subtask"}';
    const got = await ask('POST', '/task?x=1', { token: tokenFor(17), body });
    expect(got).toEqual({ status: 400, body: { msg: 'no' } });
    expect(seen).toEqual([
      {
        method: 'POST',
        path: '/task?x=1',
        authorization: `Bearer ${tokenFor(17)}`,
        contentType: 'application/json',
        contentLength: Buffer.byteLength(body),
        text: body,
      },
    ]);
  });

  it('refuses the token of another run, and a request without token', async () => {
    const other = await ask('GET', '/result?task_id=17', { token: tokenFor(18) });
    expect(other).toMatchObject({ status: 403, body: { code: 'V6_AUTH_FORBIDDEN' } });
    expect(other.body.msg).toContain('task 18');
    expect(await ask('GET', '/result?task_id=17')).toMatchObject({ status: 401 });
    expect(seen).toEqual([]);
  });

  it('refuses the token of its own run in another slot, and once the run has ended', async () => {
    await proxy.open(1);
    const other = { token: tokenFor(17), index: 1 };
    expect(await ask('GET', '/task/17', other)).toMatchObject({ status: 403 });
    proxy.withdraw(0);
    expect(await ask('GET', '/task/17', { token: tokenFor(17) })).toMatchObject({ status: 403 });
  });

  it('answers the version without a token', async () => {
    expect(await ask('GET', '/version')).toMatchObject({ status: 200 });
    expect(await ask('POST', '/version')).toMatchObject({ status: 401 });
  });

  it.each(['/../socket.io/', '/a/%2e%2e/b', '//evil.test/', '/a\\b', 'http://evil.test/x'])(
    'refuses %s, which could lead out of the API',
    async (target) => {
      expect(await ask('GET', target, { token: tokenFor(17) })).toMatchObject({ status: 400 });
      expect(seen).toEqual([]);
    },
  );

  it('sends once and says 503 when the server is away', async () => {
    answer = new V6Error('V6_SERVER_UNREACHABLE', 'No answer');
    const got = await ask('POST', '/task', { token: tokenFor(17), body: '{}' });
    expect(got).toMatchObject({ status: 503, body: { code: 'V6_SERVER_UNREACHABLE' } });
    expect(seen).toHaveLength(1);
  });

  it.each([false, true])('refuses a body over the limit (chunked: %s)', async (chunked) => {
    const body = 'x'.repeat(101);
    const got = await ask('POST', '/task', { token: tokenFor(17), body, chunked });
    expect(got.status).toBe(413);
  });

  it('replaces the socket that a crash left, opens once, and leaves no file', async () => {
    await writeFile(proxy.socketOf(5), '');
    await proxy.open(5);
    await proxy.open(5);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    await proxy.close(5);
    await expect(stat(proxy.socketOf(5))).rejects.toMatchObject({ code: 'ENOENT' });
    await proxy.close(5);
  });

  it('keeps the sockets of other slots when one cannot be opened', async () => {
    await expect(proxy.open('none/9' as never)).rejects.toMatchObject({
      code: 'V6_NODE_NOT_READY',
    });
    await proxy.open(5);
    expect((await ask('GET', '/task/17', { token: tokenFor(17) })).status).toBe(200);
  });

  it('listens where somebody put a folder or a link, and touches nothing behind it', async () => {
    const behind = path.join(path.dirname(folder), 'behind');
    await writeFile(behind, 'host', { mode: 0o644 });
    await mkdir(path.join(proxy.socketOf(6), 'full'), { recursive: true });
    await symlink(behind, proxy.socketOf(7));
    await proxy.open(6);
    await proxy.open(7);
    for (const index of [6, 7]) expect((await lstat(proxy.socketOf(index))).isSocket()).toBe(true);
    expect((await stat(behind)).mode & 0o777).toBe(0o644);
    expect(await readFile(behind, 'utf8')).toBe('host');
  });

  it('opens the way to the addresses of an answer before it passes it on', async () => {
    const order: string[] = [];
    proxy.useFamilies({
      learn: async (run, listed) => {
        await new Promise((resolve) => setTimeout(resolve, 30));
        order.push(`learn ${run} ${listed.map(({ port }) => port).join()}`);
      },
      confirm: async (run) => void order.push(`confirm ${run}`),
    });
    const text = '{"addresses":[{"ip":"10.76.0.2","port":50000,"protocol":"tcp"}]}';
    answer = { status: 200, body: text };
    const got = await ask('GET', '/vpn/algorithm/addresses', { token: tokenFor(17) });
    order.push('answered');
    expect(got).toEqual({ status: 200, body: JSON.parse(text) });
    expect(order).toEqual(['learn 41 50000', 'answered']);
    // This one may list runs of other tasks: the node looks itself who belongs to the family.
    answer = { status: 200, body: '{"data":[{"node":{"ip":"10.76.0.2"},"ports":[{"port":7}]}]}' };
    await ask('GET', '/run?task_id=18', { token: tokenFor(17) });
    expect(order.at(-1)).toBe('confirm 41');
  });

  it('opens nothing for the run that has the slot by the time of the answer', async () => {
    const learned: number[] = [];
    proxy.useFamilies({ learn: async (run) => void learned.push(run), confirm: async () => {} });
    answer = { status: 200, body: '{"addresses":[{"ip":"10.76.0.2","port":50000}]}' };
    whenAsked = () => proxy.assign(0, { run: 42, task: 18, tokenHash: hashToken(tokenFor(18)) });
    const got = await ask('GET', '/vpn/algorithm/addresses', { token: tokenFor(17) });
    expect(got).toMatchObject({ status: 403, body: { code: 'V6_AUTH_FORBIDDEN' } });
    expect(learned).toEqual([]);
  });

  it('keeps an answer back whose addresses could not be opened, so that the algorithm asks again', async () => {
    const refuse = async (): Promise<void> => {
      throw new V6Error('V6_FIREWALL_APPLY', 'no');
    };
    proxy.useFamilies({ learn: refuse, confirm: refuse });
    answer = { status: 200, body: '{"addresses":[{"ip":"10.76.0.2","port":50000}]}' };
    const got = await ask('GET', '/vpn/algorithm/addresses', { token: tokenFor(17) });
    expect(got).toMatchObject({ status: 503, body: { code: 'V6_NODE_NOT_READY' } });
    answer = { status: 200, body: '{"addresses":[]}' };
    expect((await ask('GET', '/vpn/algorithm/addresses', { token: tokenFor(17) })).status).toBe(
      200,
    );
  });
});
