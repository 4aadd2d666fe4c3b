import { once } from 'node:events';
import net from 'node:net';
import os from 'node:os';
import { afterEach, describe, expect, it } from 'vitest';
import { LOG_LEVEL_NAMES, renderServerConfig } from '../../src/core/config/render-server-config.ts';
import { allowsDropAll, parseServerConfig } from '../../src/core/config/server-config.ts';
import { silentLogger } from '../../src/core/logger.ts';
import { startServer } from '../../src/server/compose.ts';
import { addOrganization, createWorld, type World } from '../support/server-app.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

let world: World | undefined;
let folder: TempFolder | undefined;
afterEach(async () => {
  await world?.close();
  await folder?.remove();
  world = undefined;
  folder = undefined;
});

const NEW = {
  description: 'trial',
  ip: '127.0.0.1',
  port: 7601,
  apiPath: '/api',
  uri: 'sqlite:///default.sqlite',
  serverUrl: undefined,
  twoFactor: false,
  allowDropAll: false,
  logLevel: 'INFO',
  jwtSecretKey: undefined,
  tls: undefined,
} as const;

describe('upstream weakness: what the wizard writes', () => {
  it("allow_drop_all: 'False' is text, which is true: ours reads it as false, and writes a boolean", () => {
    for (const text of [
      "allow_drop_all: 'False'",
      'allow_drop_all: "no"',
      'allow_drop_all: false',
      '',
    ])
      expect(allowsDropAll(`uri: sqlite:///x\n${text}\n`, 'x')).toBe(false);
    expect(allowsDropAll("uri: sqlite:///x\nallow_drop_all: 'True'\n", 'x')).toBe(true);
    expect(renderServerConfig('trial', NEW)).toContain('allow_drop_all: false\n');
  });

  it('log level NOTSET is offered and then refused: ours does not offer it, and reads a file that has it', () => {
    expect(LOG_LEVEL_NAMES).not.toContain('NOTSET');
    const text = 'uri: sqlite:///x\nlogging: { level: NOTSET }\n';
    expect(parseServerConfig(text, 'x').logLevel).toBe('debug');
    for (const logLevel of LOG_LEVEL_NAMES)
      expect(() =>
        parseServerConfig(renderServerConfig('t', { ...NEW, logLevel }), 'x'),
      ).not.toThrow();
  });
});

describe('upstream weakness: keys of the server', () => {
  it('api_path is optional for the validator, mandatory for the server: ours has a default', () => {
    expect(parseServerConfig('uri: sqlite:///x\n', 'x').apiPath).toBe('/api');
    expect(parseServerConfig('uri: sqlite:///x\napi_path:\n', 'x').apiPath).toBe('/api');
  });

  it('email_token_validity_minutes is documented top-level but read inside smtp: ours reads both, the inner one first', () => {
    const minutes = (text: string): number =>
      parseServerConfig(`uri: sqlite:///x\n${text}`, 'x').accounts.emailTokenMinutes;
    expect(minutes('email_token_validity_minutes: 20\n')).toBe(20);
    expect(minutes('smtp: { email_token_validity_minutes: 10 }\n')).toBe(10);
    expect(
      minutes('email_token_validity_minutes: 20\nsmtp: { email_token_validity_minutes: 10 }\n'),
    ).toBe(10);
    expect(minutes('')).toBe(60);
  });

  it('the configured ip is ignored: ours listens there and nowhere else', async () => {
    folder = await tempFolder();
    const config = parseServerConfig('uri: sqlite:///x\nip: 127.0.0.1\n', 'x');
    const server = await startServer({
      config: { ...config, port: 0 },
      dataDir: folder.path,
      logger: silentLogger,
    });
    expect(await reaches('127.0.0.1', server.port)).toBe(true);
    for (const address of otherAddresses()) expect(await reaches(address, server.port)).toBe(false);
    await server.stop();
  });

  it('a missing jwt_secret_key, or a short one, is no quiet risk: ours makes one that stays, or refuses', () => {
    expect(parseServerConfig('uri: sqlite:///x\n', 'x').jwtSecretKey).toBeUndefined();
    expect(() => parseServerConfig('uri: sqlite:///x\njwt_secret_key: root\n', 'x')).toThrow(
      /jwt_secret_key must have at least 16 characters \(line 2\)/,
    );
  });
});

describe('upstream weakness: the database', () => {
  it('schema changes are added columns without migrations: ours are migrations, which a second start finds done', async () => {
    folder = await tempFolder();
    const config = parseServerConfig('uri: sqlite:///x.sqlite\nip: 127.0.0.1\n', 'x');
    const input = { config: { ...config, port: 0 }, dataDir: folder.path, logger: silentLogger };
    const first = await startServer(input);
    expect(first.passwordFile).toBeDefined();
    await first.stop();
    const second = await startServer(input);
    expect(second.passwordFile).toBeUndefined();
    await second.stop();
  });

  it('there is no pair constraint on the nodes of an organization in a collaboration: ours has one', async () => {
    world = await createWorld();
    const answer = await world.call('POST', '/node', {
      token: world.root.token,
      body: { collaboration_id: world.trial, organization_id: world.north, name: 'twin' },
    });
    expect([answer.status, answer.body.code]).toStrictEqual([400, 'V6_REQUEST_CONFLICT']);
    const { store } = world;
    const twin = {
      name: 'twin',
      organizationId: world.north,
      collaborationId: world.trial,
      apiKeyDigest: 'other',
      vpnId: 'other',
    };
    await expect(store.transaction((tx) => tx.nodes.create(twin))).rejects.toMatchObject({
      code: 'V6_REQUEST_CONFLICT',
    });
  });

  it('sessions of the database are shared between requests: what fails in one of ours undoes nothing of another', async () => {
    world = await createWorld();
    const { store } = world;
    const works = Array.from({ length: 20 }, (_, i) =>
      store.transaction(async (tx) => {
        const id = await addOrganization(tx, `party ${i}`);
        await new Promise((resolve) => setImmediate(resolve));
        if (i % 2 === 1) throw new Error('no');
        return id;
      }),
    );
    const settled = await Promise.allSettled(works);
    expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(10);
    const { rows } = await store.organizations.list(
      { name: 'party %' },
      { offset: 0, limit: 100, sort: [] },
    );
    expect(rows.map(({ name }) => Number(name.slice(6)) % 2)).toStrictEqual(Array(10).fill(0));
  });

  it('permission checks depend on how a Python release writes its enums: ours are plain words, as GET /rule has them', async () => {
    world = await createWorld();
    const { body } = await world.call('GET', '/rule?no_pagination=1', { token: world.root.token });
    const rules = (body.data ?? body) as { name: string; scope: string; operation: string }[];
    const of = (key: 'scope' | 'operation'): Set<string> => new Set(rules.map((rule) => rule[key]));
    expect([...of('scope')].toSorted()).toStrictEqual([
      'COLLABORATION',
      'GLOBAL',
      'ORGANIZATION',
      'OWN',
    ]);
    for (const operation of of('operation')) expect(operation).toMatch(/^[A-Z]+$/);
  });
});

async function reaches(host: string, port: number): Promise<boolean> {
  const socket = net.connect({ host, port });
  const what = await Promise.race([
    once(socket, 'connect').then(() => true),
    once(socket, 'error').then(() => false),
    new Promise<boolean>((resolve) => setTimeout(() => resolve(false), 2000).unref()),
  ]).catch(() => false);
  socket.destroy();
  return what;
}

/** Of this machine, beside loopback; 127.0.0.2 is one of them everywhere on Linux. */
function otherAddresses(): readonly string[] {
  const own = Object.values(os.networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ family, internal }) => family === 'IPv4' && !internal)
    .map(({ address }) => address);
  return ['127.0.0.2', ...own.slice(0, 3)];
}
