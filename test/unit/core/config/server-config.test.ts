import { describe, expect, it } from 'vitest';
import { parseServerConfig } from '../../../../src/core/config/server-config.ts';
import { V6Error } from '../../../../src/core/errors.ts';

const UPSTREAM = `description: trial server
ip: 0.0.0.0
port: 7601
api_path: /api
uri: sqlite:///trial.sqlite
allow_drop_all: false
jwt_secret_key: 5d0e1f4e-0f3b-4c53-8a39-0a8f2f1f7c11
logging: { level: WARNING, file: unused.log, use_console: true, backup_count: 5, max_size: 1024,
           format: "%(asctime)s %(levelname)s %(message)s", datefmt: "%H:%M:%S" }
rabbitmq: { uri: "amqp://x", start_with_server: false }
large_result_store: { type: azure, client_id: other, client_secret: other, url: "https://x" }
algorithm_stores:
  - { name: one, url: "https://store.example.org" }
`;
const BLOCK = `vpn_server:
  url: https://vpn.example.org
  redirect_url: http://localhost
  client_id: v6-client
  client_secret: secret
  portal_username: v6-service
  portal_userpass: 0123
`;

function failureOf(text: string): V6Error {
  try {
    parseServerConfig(text, 'server.yaml');
  } catch (error) {
    if (error instanceof V6Error) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('parseServerConfig', () => {
  it("reads upstream's file, with other blocks that have a url and a client", () => {
    expect(parseServerConfig(UPSTREAM, 'server.yaml')).toEqual({
      description: 'trial server',
      ip: '0.0.0.0',
      port: 7601,
      apiPath: '/api',
      uri: 'sqlite:///trial.sqlite',
      jwtSecretKey: '5d0e1f4e-0f3b-4c53-8a39-0a8f2f1f7c11',
      tokenExpiresHours: 6,
      refreshTokenExpiresHours: 48,
      serverUrl: undefined,
      vpn: undefined,
      vpnTrustedNetworks: [],
      logLevel: 'warn',
    });
  });

  it('reads the vpn_server block, a password of digits as written', () => {
    expect(parseServerConfig(UPSTREAM + BLOCK, 'server.yaml').vpn).toEqual({
      url: 'https://vpn.example.org',
      redirectUrl: 'http://localhost',
      clientId: 'v6-client',
      clientSecret: 'secret',
      username: 'v6-service',
      password: '0123',
    });
  });

  it.each(['  client_secret: ""\n', '  client_secret:\n', ''])(
    'takes a client without a secret as public: %j',
    (line) => {
      const block = BLOCK.replace('  client_secret: secret\n', line);
      expect(parseServerConfig(UPSTREAM + block, 'x').vpn?.clientSecret).toBe('');
    },
  );

  it.each([
    ['uri: postgresql+psycopg2://u:p@h/d\n', { apiPath: '/api', port: 7601, logLevel: 'info' }],
    ['uri: sqlite:////x\nport: "5000"\napi_path: ""\n', { port: 5000, apiPath: '' }],
    [
      'uri: sqlite:///x\napi_path: api/\nserver_url: "https://a.b/"\n',
      { apiPath: '/api', serverUrl: 'https://a.b' },
    ],
    [
      'uri: sqlite:///x\nvpn_trusted_networks: [10.0.0.0/8]\n',
      { vpnTrustedNetworks: ['10.0.0.0/8'] },
    ],
    ['uri: sqlite:///x\ntoken_expires_hours: 0.5\n', { tokenExpiresHours: 0.5 }],
  ])('fills in defaults and accepts spellings: %j', (text, expected) => {
    expect(parseServerConfig(text, 'x')).toMatchObject(expected);
  });

  it('names every key that is missing in vpn_server', () => {
    const error = failureOf(`${UPSTREAM}vpn_server:\n`);
    expect(error.code).toBe('V6_CONFIG_INVALID');
    expect(error.details.problems).toEqual(
      ['url', 'redirect_url', 'client_id', 'portal_username', 'portal_userpass'].map(
        (key) => `vpn_server.${key} is missing`,
      ),
    );
  });

  it.each([
    ['port: 70000\n', 'port must be a whole number from 1 to 65535, not 70000'],
    ['port: abc\n', 'port must be a whole number from 1 to 65535, not "abc"'],
    ['api_path: "a b"\n', 'api_path'],
    ['logging: {level: LOUD}\n', 'logging.level'],
    ['server_url: nowhere\n', 'server_url'],
    ['token_expires_hours: 0\n', 'token_expires_hours'],
    ['ip: "a b"\n', 'ip must be'],
    ['vpn_trusted_networks: 10.0.0.0/8\n', 'vpn_trusted_networks must be a list'],
    ['vpn_server: [1]\n', 'vpn_server must hold keys'],
    ['vpn_server: {url: ftp://x}\n', 'vpn_server.url must start with https://'],
    ['vpn_server: {url: [1]}\n', 'vpn_server.url must be text'],
  ])('refuses %j, naming the key', (text, expected) => {
    const error = failureOf(`uri: sqlite:///x\n${text}`);
    expect(error.code).toBe('V6_CONFIG_INVALID');
    expect(error.message).toContain(expected);
  });

  it('refuses a database that it does not have, without its password', () => {
    const error = failureOf('uri: mysql://user:hunter2@host/db\n');
    expect(error.message).toContain('uri must start with');
    expect(error.message).not.toContain('hunter2');
  });

  it('names a network with host bits', () => {
    const error = failureOf('uri: sqlite:///x\nvpn_trusted_networks: [10.1.0.0/8]\n');
    expect(error.code).toBe('V6_CONFIG_SUBNET');
    expect(error.message).toContain('vpn_trusted_networks[0]');
  });

  it.each([
    ['portal_username: x\n', ['portal_username']],
    ['url: https://x\nclient_id: y\n', ['url', 'client_id']],
    ['vpn:\n  redirect_url: x\n', ['vpn.redirect_url']],
    ['vpn_server:\n  x:\n    portal_userpass: x\n', ['vpn_server.x.portal_userpass']],
  ])('says where misplaced portal keys stand: %j', (text, keys) => {
    const error = failureOf(`uri: sqlite:///x\n${text}`);
    expect(error.code).toBe('V6_CONFIG_VPN_KEYS_MISPLACED');
    expect((error.details.keys as { key: string }[]).map(({ key }) => key)).toEqual(keys);
    for (const key of keys) expect(error.message).toContain(`${key} (line `);
    expect(error.hints[0]).toContain('vpn_server:');
  });
});
