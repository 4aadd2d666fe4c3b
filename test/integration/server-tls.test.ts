import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { io, type Socket } from 'socket.io-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NodeSession } from '../../src/adapters/http/node-session.ts';
import { trustAuthority } from '../../src/adapters/http/trusted-authority.ts';
import { systemClock } from '../../src/core/clock.ts';
import { parseServerConfig } from '../../src/core/config/server-config.ts';
import { type RunningServer, startServer } from '../../src/server/compose.ts';
import { createAuthority, type TestAuthority } from '../support/certificates.ts';
import { recordingLogger } from '../support/server-app.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

const ROOT = path.join(import.meta.dirname, '../..');
const execFileAsync = promisify(execFile);

let authority: TestAuthority;
let folder: TempFolder;
let server: RunningServer;
const { logger, lines } = recordingLogger();
const file = (name: string): string => path.join(folder.path, name);

async function writePair(name: string): Promise<void> {
  const { cert, key } = await authority.issue(name);
  writeFileSync(file('chain.pem'), cert);
  writeFileSync(file('key.pem'), key, { mode: 0o600 });
}

const config = () =>
  parseServerConfig(
    `uri: sqlite:///test.sqlite
ip: 127.0.0.1
require_tls: true
cors_allowed_origins: https://ui.example.org
tls:
  certificate: ${file('chain.pem')}
  key: ${file('key.pem')}
`,
    'test.yaml',
  );

beforeAll(async () => {
  folder = await tempFolder();
  authority = await createAuthority();
  await writePair('first');
  server = await startServer({ config: { ...config(), port: 0 }, dataDir: folder.path, logger });
});
afterAll(async () => {
  await server?.stop();
  await folder?.remove();
});

interface Reply {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Record<string, unknown>;
}

function send(
  url: string,
  options: Omit<https.RequestOptions, 'headers'> & {
    body?: object;
    headers?: Readonly<Record<string, string>>;
  } = {},
): Promise<Reply> {
  const { body, ...rest } = options;
  const client = url.startsWith('https') ? https : http;
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', ...rest.headers };
    const request = client.request(
      url,
      { ca: authority.cert, agent: false, ...rest, headers },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: JSON.parse(Buffer.concat(chunks).toString() || '{}') as Record<string, unknown>,
          }),
        );
      },
    );
    request.on('error', reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

async function rootToken(): Promise<string> {
  const password = (await readFile(server.passwordFile ?? '', 'utf8')).trim();
  const { body } = await send(`${server.url}/token/user`, {
    method: 'POST',
    body: { username: 'root', password },
  });
  return String(body.access_token);
}

const heard = (socket: Socket, event: string): Promise<void> =>
  new Promise((resolve) => socket.once(event, () => resolve()));

async function subjectOf(): Promise<string> {
  const socket: TLSSocket = connect({ port: server.port, host: '127.0.0.1', ca: authority.cert });
  await once(socket, 'secureConnect');
  const { CN } = socket.getPeerCertificate().subject;
  socket.destroy();
  return String(CN);
}

describe('a server with tls', () => {
  it('speaks https with its certificate, and says that it wants no less from now on', async () => {
    expect(server.url).toMatch(/^https:\/\/127\.0\.0\.1:/);
    const answer = await send(`${server.url}/version`);
    expect(answer.status).toBe(200);
    expect(answer.headers['strict-transport-security']).toBe('max-age=31536000; includeSubDomains');
    expect(
      (
        await send(`${server.url}/organization`, {
          headers: { authorization: `Bearer ${await rootToken()}` },
        })
      ).status,
    ).toBe(200);
  });

  it('does not answer plain http, nor TLS before 1.2', async () => {
    await expect(send(server.url.replace('https:', 'http:'))).rejects.toThrow();
    const old = connect({
      port: server.port,
      host: '127.0.0.1',
      ca: authority.cert,
      maxVersion: 'TLSv1.1',
      minVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    const [error] = (await once(old, 'error')) as [Error];
    expect(error.message).toMatch(/alert|unsupported|version/i);
  });

  it('carries events over wss', async () => {
    const socket: Socket = io(`https://127.0.0.1:${server.port}/tasks`, {
      transports: ['websocket'],
      ca: authority.cert,
      extraHeaders: { authorization: `Bearer ${await rootToken()}` },
      reconnection: false,
    } as Parameters<typeof io>[1]);
    await heard(socket, 'connect');
    expect(socket.connected).toBe(true);
    socket.disconnect();
  });

  it('follows new files, and keeps the old pair when the new one is no good', async () => {
    expect(await subjectOf()).toBe('first');
    await writePair('second');
    server.reload();
    expect(await subjectOf()).toBe('second');
    const { key } = await authority.issue('third');
    writeFileSync(file('key.pem'), key);
    server.reload();
    expect(await subjectOf()).toBe('second');
    expect(lines.join()).toContain(`${file('key.pem')} does not belong to the certificate`);
    expect(lines.join()).not.toContain('PRIVATE KEY');
    await writePair('third');
    server.reload();
    expect(await subjectOf()).toBe('third');
  });

  it('tells a page of another origin nothing', async () => {
    const ask = (origin: string) =>
      send(`${server.url}/task`, { method: 'OPTIONS', headers: { origin } });
    expect((await ask('https://ui.example.org')).headers['access-control-allow-origin']).toBe(
      'https://ui.example.org',
    );
    expect(
      (await ask('https://evil.example.org')).headers['access-control-allow-origin'],
    ).toBeUndefined();
    const handshake = (origin: string) =>
      send(`https://127.0.0.1:${server.port}/socket.io/?EIO=4&transport=polling`, {
        method: 'OPTIONS',
        headers: { origin },
      });
    expect((await handshake('https://ui.example.org')).headers['access-control-allow-origin']).toBe(
      'https://ui.example.org',
    );
    expect(
      (await handshake('https://evil.example.org')).headers['access-control-allow-origin'],
    ).not.toBe('https://evil.example.org');
    const open = async (origin: string) => {
      const socket: Socket = io(`https://127.0.0.1:${server.port}/tasks`, {
        transports: ['websocket'],
        ca: authority.cert,
        extraHeaders: { authorization: `Bearer ${await rootToken()}`, origin },
        reconnection: false,
      } as Parameters<typeof io>[1]);
      const what = await Promise.race([
        heard(socket, 'connect').then(() => 'open'),
        heard(socket, 'connect_error').then(() => 'refused'),
      ]);
      socket.disconnect();
      return what;
    };
    expect(await open('https://ui.example.org')).toBe('open');
    expect(await open(`https://127.0.0.1:${server.port}`)).toBe('open');
    expect(await open('https://evil.example.org')).toBe('refused');
  });
});

describe('clients of ours', () => {
  it('refuse an authority that they do not know; a node knows that of server_ca', async () => {
    const session = new NodeSession({
      serverUrl: 'https://127.0.0.1',
      port: server.port,
      apiPath: '/api',
      apiKey: '123e4567-e89b-42d3-a456-426614174001',
      clock: systemClock,
    });
    await expect(session.login()).rejects.toMatchObject({ code: 'V6_SERVER_UNREACHABLE' });
    writeFileSync(file('ca.pem'), authority.cert);
    await trustAuthority(file('ca.pem'));
    await expect(session.login()).rejects.toMatchObject({ code: 'V6_AUTH_API_KEY' });
    writeFileSync(file('none.pem'), 'hello');
    await expect(trustAuthority(file('none.pem'))).rejects.toMatchObject({
      code: 'V6_CONFIG_INVALID',
      message: expect.stringContaining('none.pem'),
    });
  });

  it('as a command line know the authority of NODE_EXTRA_CA_CERTS', async () => {
    writeFileSync(file('ca.pem'), authority.cert);
    const run = (extra: Record<string, string>) =>
      execFileAsync(
        process.execPath,
        [
          'bin/dev.js',
          'login',
          '--server',
          server.url,
          '--username',
          'root',
          '--password-file',
          server.passwordFile ?? '',
        ],
        { env: { PATH: process.env.PATH, HOME: folder.path, ...extra }, cwd: ROOT },
      );
    await expect(run({})).rejects.toMatchObject({ code: 69 });
    await expect(run({ NODE_EXTRA_CA_CERTS: file('ca.pem') })).resolves.toBeDefined();
  });
});

describe('bad TLS files', () => {
  it.each([
    ['no such file', 'chain.pem', undefined, 'cannot be read'],
    ['no certificate', 'chain.pem', 'hello', 'holds no certificate'],
    ['no key', 'key.pem', 'hello', 'holds no private key'],
  ])('with %s end the start with the name of the file', async (_what, name, text, fault) => {
    const spoiled = await tempFolder();
    const { cert, key } = await authority.issue('x');
    const at = (one: string): string => path.join(spoiled.path, one);
    writeFileSync(at('chain.pem'), cert);
    writeFileSync(at('key.pem'), key);
    const wanted = { certificate: at('chain.pem'), key: at('key.pem') };
    if (text !== undefined) writeFileSync(at(name), text);
    else wanted.certificate = at('absent.pem');
    const base = config();
    const start = startServer({
      config: { ...base, port: 0, transport: { ...base.transport, tls: wanted } },
      dataDir: spoiled.path,
      logger,
    });
    await expect(start).rejects.toMatchObject({
      code: 'V6_CONFIG_INVALID',
      message: expect.stringContaining(fault),
    });
    await spoiled.remove();
  });
});

describe('require_tls without tls of its own', () => {
  it('takes requests and sockets only from a proxy that says https', async () => {
    const own = await tempFolder();
    const base = parseServerConfig('uri: sqlite:///x\nip: 127.0.0.1\nrequire_tls: true\n', 'x');
    const plain = await startServer({ config: { ...base, port: 0 }, dataDir: own.path, logger });
    const https = { 'x-forwarded-proto': 'https', 'x-forwarded-for': '198.51.100.7' };
    const refused = await send(`${plain.url}/token/user`, { method: 'POST', body: {} });
    expect([refused.status, refused.body.code]).toStrictEqual([403, 'V6_TLS_REQUIRED']);
    const passed = await send(`${plain.url}/token/user`, {
      method: 'POST',
      body: {},
      headers: https,
    });
    expect(passed.status).toBe(400);
    expect((await send(`${plain.url}/health`)).status).toBe(200);
    const handshake = `http://127.0.0.1:${plain.port}/socket.io/?EIO=4&transport=polling`;
    expect((await send(handshake)).status).toBe(403);
    await plain.stop();
    await own.remove();
  });
});
