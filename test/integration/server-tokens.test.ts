import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.ts';
import { parseServerConfig } from '../../src/core/config/server-config.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { type RunningServer, startServer } from '../../src/server/compose.ts';
import { type Caller, caller, listen } from '../support/server-process.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { until } from '../support/wait.ts';

const LIMIT_MS = 15_000;
const SIX_HOURS_MS = 6 * 3_600_000;

let folder: TempFolder;
let server: RunningServer;
let apiKey: string;
/** The server's clock is ahead by this. */
let aheadMs = 0;

beforeAll(async () => {
  folder = await tempFolder();
  const config = parseServerConfig('uri: sqlite:///test.sqlite\nip: 127.0.0.1\n', 'test.yaml');
  const clock = { ...systemClock, now: () => new Date(Date.now() + aheadMs) };
  server = await startServer({
    config: { ...config, port: 0 },
    dataDir: folder.path,
    logger: silentLogger,
    clock,
  });
  const root = await rootCaller();
  const { body: organization } = await root('POST', '/organization', { name: 'North' });
  const { body: collaboration } = await root('POST', '/collaboration', {
    name: 'Trial',
    organization_ids: [organization.id],
    encrypted: false,
  });
  const { body: node } = await root('POST', '/node', {
    collaboration_id: collaboration.id,
    organization_id: organization.id,
  });
  apiKey = String(node.api_key);
});

afterAll(async () => {
  await server?.stop();
  await folder?.remove();
});

async function rootCaller(): Promise<Caller> {
  const { readFile } = await import('node:fs/promises');
  const password = (await readFile(server.passwordFile ?? '', 'utf8')).trim();
  const login = { username: 'root', password };
  const { body } = await caller(server.url)('POST', '/token/user', login);
  return caller(server.url, String(body.access_token));
}

async function nodeToken(): Promise<string> {
  const { body } = await caller(server.url)('POST', '/token/node', { api_key: apiKey });
  return String(body.access_token);
}

describe('a socket', () => {
  it.each(['polling', 'websocket'] as const)(
    'hears over %s that its token has expired while it is connected',
    async (transport) => {
      aheadMs = 0;
      const token = await nodeToken();
      aheadMs = SIX_HOURS_MS - 6000;
      const heard = listen(server.port, token, transport);
      await until('sync', LIMIT_MS, () => heard.names.includes('sync'));
      await until('expired_token', LIMIT_MS, () => heard.names.includes('expired_token'));
      heard.socket.close();
    },
  );

  it('with an expired token hears so, gets no other event, and is cut off', async () => {
    aheadMs = 0;
    const token = await nodeToken();
    aheadMs = SIX_HOURS_MS + 1000;
    const heard = listen(server.port, token, 'polling');
    await until('disconnect', LIMIT_MS, () => heard.names.includes('disconnect'));
    expect(heard.names).toStrictEqual(['expired_token', 'disconnect']);
    aheadMs = 0;
  });
});
