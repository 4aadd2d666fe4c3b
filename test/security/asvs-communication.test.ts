import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { type ConnectionOptions, connect } from 'node:tls';
import { io, type Socket } from 'socket.io-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requestJson } from '../../src/adapters/http/request.ts';
import { createSmtpMailer } from '../../src/adapters/mail/smtp-mailer.ts';
import { parseServerConfig } from '../../src/core/config/server-config.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { type RunningServer, startServer } from '../../src/server/compose.ts';
import { createAuthority, type TestAuthority } from '../support/certificates.ts';
import { startSmtpSink } from '../support/smtp-sink.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

let authority: TestAuthority;
let folder: TempFolder;
let secure: RunningServer;
let plain: RunningServer;

beforeAll(async () => {
  folder = await tempFolder();
  authority = await createAuthority();
  const { cert, key } = await authority.issue('server');
  const at = (name: string): string => path.join(folder.path, name);
  writeFileSync(at('chain.pem'), cert);
  writeFileSync(at('key.pem'), key);
  const start = (name: string, text: string): Promise<RunningServer> => {
    const config = parseServerConfig(`uri: sqlite:///${name}.sqlite\nip: 127.0.0.1\n${text}`, 'x');
    const input = { config: { ...config, port: 0 }, logger: silentLogger };
    return startServer({ ...input, dataDir: path.join(folder.path, name) });
  };
  const tls = `tls: { certificate: ${at('chain.pem')}, key: ${at('key.pem')} }\n`;
  secure = await start('secure', `${tls}cors_allowed_origins: [https://ui.example.org]\n`);
  plain = await start('plain', 'require_tls: true\n');
});
afterAll(async () => {
  await Promise.all([secure?.stop(), plain?.stop()]);
  await folder?.remove();
});

const get = (url: string, headers: Record<string, string> = {}) =>
  new Promise<{ status: number; headers: http.IncomingHttpHeaders }>((resolve, reject) => {
    const client = url.startsWith('https') ? https : http;
    const options = { ca: authority.cert, agent: false, headers } as const;
    const request = client.get(url, options, (response) => {
      response.resume();
      resolve({ status: response.statusCode ?? 0, headers: response.headers });
    });
    request.on('error', reject);
  });

async function handshake(options: ConnectionOptions): Promise<string> {
  const socket = connect({ port: secure.port, host: '127.0.0.1', ca: authority.cert, ...options });
  const what = await Promise.race([
    once(socket, 'secureConnect').then(() => socket.getProtocol() ?? ''),
    once(socket, 'error').then(() => 'refused'),
  ]).catch(() => 'refused');
  socket.destroy();
  return what;
}

async function token(server: RunningServer): Promise<string> {
  const password = (await readFile(server.passwordFile ?? '', 'utf8')).trim();
  const body = JSON.stringify({ username: 'root', password });
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const options = { method: 'POST', ca: authority.cert, agent: false, headers };
    const request = https.request(`${server.url}/token/user`, options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve(
          (JSON.parse(Buffer.concat(chunks).toString()) as { access_token: string }).access_token,
        ),
      );
    });
    request.on('error', reject);
    request.end(body);
  });
}

function open(authorization: string, origin?: string): Socket {
  const extraHeaders = { authorization, ...(origin === undefined ? {} : { origin }) };
  return io(`https://127.0.0.1:${secure.port}/tasks`, {
    transports: ['websocket'],
    ca: authority.cert,
    extraHeaders,
    reconnection: false,
    forceNew: true,
  } as Parameters<typeof io>[1]);
}

const heard = (socket: Socket, event: string): Promise<string> =>
  new Promise((resolve) => socket.once(event, () => resolve(event)));

describe('V12 communication', () => {
  it('V12.1.1 TLS 1.3 is preferred, 1.2 accepted, older ones refused', async () => {
    expect(await handshake({})).toBe('TLSv1.3');
    expect(await handshake({ maxVersion: 'TLSv1.2' })).toBe('TLSv1.2');
    const old = { minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    for (const maxVersion of ['TLSv1.1', 'TLSv1'] as const)
      expect(await handshake({ ...old, maxVersion })).toBe('refused');
  });

  it.each(['NULL-SHA256', 'RC4-SHA', 'DES-CBC3-SHA', 'AECDH-AES256-SHA', 'AES128-SHA'])(
    'V12.1.2 the cipher suite %s is refused',
    async (suite) => {
      const attempt = async (): Promise<string> =>
        handshake({ maxVersion: 'TLSv1.2', ciphers: `${suite}:@SECLEVEL=0` });
      // A suite that this machine's library does not even know is refused by the client itself.
      expect(await attempt().catch(() => 'refused')).toBe('refused');
    },
  );

  it('V12.2.1, V4.1.2 plain http is refused where TLS is required, and never redirected', async () => {
    const answer = await get(`${plain.url}/task`);
    expect([answer.status, answer.headers.location]).toStrictEqual([403, undefined]);
    expect((await get(`${plain.url}/task`, { 'x-forwarded-proto': 'https' })).status).toBe(401);
    await expect(get(secure.url.replace('https:', 'http:'))).rejects.toThrow();
  });

  it('V12.3.1 mail goes out encrypted or not at all', async () => {
    const sink = await startSmtpSink();
    const mailer = createSmtpMailer({
      server: '127.0.0.1',
      port: sink.port,
      username: 'v6',
      password: 'secret',
      from: 'v6@example.org',
      startTls: true,
      tls: false,
    });
    const mail = { to: 'a@example.org', subject: 'x', text: 'x' };
    await expect(mailer.send(mail)).rejects.toMatchObject({ code: 'V6_MAIL_SEND' });
    expect(sink.plainLines.join()).not.toMatch(/AUTH|MAIL/);
    await sink.close();
  });

  it('V12.3.2, V12.3.4 clients of ours look at the certificate of a server, and follow no redirect', async () => {
    const request = { method: 'GET', url: `${secure.url}/version`, timeoutMs: 10_000 } as const;
    await expect(requestJson(request)).rejects.toMatchObject({ code: 'V6_SERVER_UNREACHABLE' });
  });
});

describe('V4 sockets', () => {
  it('V4.4.1 events come over wss, and not over ws where TLS is required', async () => {
    const socket = open(`Bearer ${await token(secure)}`);
    expect(await heard(socket, 'connect')).toBe('connect');
    socket.disconnect();
    const bare = io(`http://127.0.0.1:${plain.port}/tasks`, {
      transports: ['websocket'],
      reconnection: false,
      forceNew: true,
    });
    expect(await heard(bare, 'connect_error')).toBe('connect_error');
  });

  it('V4.4.2 a page of another origin opens no socket', async () => {
    const bearer = `Bearer ${await token(secure)}`;
    const outcome = async (origin: string): Promise<string> => {
      const socket = open(bearer, origin);
      const what = await Promise.race([heard(socket, 'connect'), heard(socket, 'connect_error')]);
      socket.disconnect();
      return what;
    };
    expect(await outcome('https://ui.example.org')).toBe('connect');
    expect(await outcome('https://evil.example.org')).toBe('connect_error');
    expect(await outcome('null')).toBe('connect_error');
  });

  it('V4.4.3, V4.4.4 a socket is opened with an access token, and ends with its session', async () => {
    const refused = open('Bearer none');
    await Promise.race([heard(refused, 'invalid_token'), heard(refused, 'connect_error')]);
    refused.disconnect();
    const access = await token(secure);
    const socket = open(`Bearer ${access}`);
    await heard(socket, 'connect');
    const ended = heard(socket, 'disconnect');
    await new Promise<void>((resolve, reject) => {
      const headers = { authorization: `Bearer ${access}` };
      const options = { method: 'POST', ca: authority.cert, agent: false, headers };
      const request = https.request(`${secure.url}/token/logout`, options, (response) => {
        response.resume();
        resolve();
      });
      request.on('error', reject);
      request.end();
    });
    expect(await ended).toBe('disconnect');
    const again = open(`Bearer ${access}`);
    expect(await heard(again, 'connect_error')).toBe('connect_error');
  });
});
