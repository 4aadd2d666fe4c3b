import { describe, expect, it } from 'vitest';
import { DEFAULT_ACCOUNTS } from '../../../../src/core/config/server-accounts.ts';
import { parseServerConfig } from '../../../../src/core/config/server-config.ts';
import { DEFAULT_OPERATION } from '../../../../src/core/config/server-operation.ts';
import { DEFAULT_TRANSPORT } from '../../../../src/core/config/server-transport.ts';
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
      vpnLeaseGraceMs: 7 * 24 * 3_600_000,
      vpnTrustedNetworks: [],
      logLevel: 'warn',
      accounts: DEFAULT_ACCOUNTS,
      transport: DEFAULT_TRANSPORT,
      operation: DEFAULT_OPERATION,
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
    ['jwt_secret_key: short\n', 'jwt_secret_key must have at least 16 characters (line 2)'],
    ['two_factor_auth: maybe\n', 'two_factor_auth must be true or false, not "maybe" (line 2)'],
    ['password_policy: {max_failed_attempts: 0}\n', 'password_policy.max_failed_attempts must be'],
    ['password_policy: 5\n', 'password_policy must be a mapping (line 2)'],
    ['smtp:\n  port: 0\n', 'smtp.port must be a whole number from 1 to 65535, not 0 (line 3)'],
    [
      'smtp: {username: x}\n',
      'smtp.password is missing: name and password belong together (line 2)',
    ],
    ['smtp: {email_from: nobody}\n', 'smtp.email_from must be a mail address'],
    ['smtp: {server: "a b"}\n', 'smtp.server must be the name of a host'],
    [
      'cors_allowed_origins:\n  - https://ui.example.org/x\n',
      'cors_allowed_origins[0] must be * or',
    ],
    ['cors_allowed_origins: ui\n', 'cors_allowed_origins must be * or an origin'],
    ['tls: {certificate: /a.pem}\n', 'tls.key is missing'],
    ['tls: {certificate: a.pem, key: /b.pem}\n', 'tls.certificate must be an absolute path'],
    ['trusted_proxies: [10.0.0.0/33]\n', 'trusted_proxies[0] has a length'],
    [
      'trusted_proxies:\n- 10.0.0.1\n- proxy\n',
      'trusted_proxies[1] must be an address or a network such as 10.0.0.0/8 or fd00::/8, not "proxy" (line 2)',
    ],
    ['trusted_proxies: ["::/0"]\n', 'trusted_proxies[0] must not be every address'],
    ['require_tls: 7\n', 'require_tls must be true or false'],
    ['rate_limits: {requests_per_minute: 1}\n', 'rate_limits.requests_per_minute must be'],
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

  it('reads the keys about accounts and connections', () => {
    const text = `uri: sqlite:///x
server_name: trial
two_factor_auth: true
session_max_hours: 24
email_token_validity_minutes: 30
support_email: help@example.org
password_policy: { max_failed_attempts: 3, inactivation_minutes: 10, between_user_emails_minutes: 0 }
smtp: { server: mail.example.org, port: 587, username: v6, password: p, email_from: v6@example.org }
cors_allowed_origins: [https://ui.example.org/, "http://localhost:7600"]
tls: { certificate: /etc/v6/chain.pem, key: /etc/v6/key.pem }
trusted_proxies: [10.0.0.0/8, "fd00::/8", 192.0.2.1]
require_tls: true
rate_limits: { requests_per_minute: 600 }
`;
    expect(parseServerConfig(text, 'x')).toMatchObject({
      accounts: {
        serverName: 'trial',
        twoFactor: true,
        maxFailedAttempts: 3,
        inactivationMinutes: 10,
        betweenUserEmailsMinutes: 0,
        sessionMaxHours: 24,
        emailTokenMinutes: 30,
        supportEmail: 'help@example.org',
        smtp: { server: 'mail.example.org', port: 587, startTls: true, tls: false },
      },
      transport: {
        tls: { certificate: '/etc/v6/chain.pem', key: '/etc/v6/key.pem' },
        trustedProxies: ['10.0.0.0/8', 'fd00::/8', '192.0.2.1'],
        requireTls: true,
        corsOrigins: ['https://ui.example.org', 'http://localhost:7600'],
        requestsPerMinute: 600,
      },
    });
  });

  it('takes the life of mailed tokens from smtp first, where upstream reads it', () => {
    const text =
      'uri: sqlite:///x\nemail_token_validity_minutes: 30\nsmtp: {email_token_validity_minutes: 5}\n';
    expect(parseServerConfig(text, 'x').accounts.emailTokenMinutes).toBe(5);
  });

  it('lets VANTAGE6_DB_URI win over uri, which may then be missing', () => {
    const uri = 'postgresql://h/d';
    expect(parseServerConfig('uri: sqlite:///x\n', 'x', { uri }).uri).toBe(uri);
    expect(parseServerConfig('port: 7601\n', 'x', { uri }).uri).toBe(uri);
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

  it('reads what limits configurations at the portal', () => {
    const withLimit = (limit: string): string =>
      `${UPSTREAM.replace(/vpn_server:[\s\S]*?(?=\n\S|$)/, '')}
vpn_lease_grace: 48
vpn_server:
  url: https://vpn.example.org
  redirect_url: http://localhost
  client_id: v6
  portal_username: nodes
  portal_userpass: secret
  max_configurations: ${limit}
`;
    const config = parseServerConfig(withLimit('25'), 'server.yaml');
    expect(config.vpn?.maxConfigurations).toBe(25);
    expect(config.vpnLeaseGraceMs).toBe(48 * 3_600_000);
    expect(parseServerConfig(withLimit('0'), 'server.yaml').vpn?.maxConfigurations).toBe(0);
    for (const bad of ['-1', '2.5', 'many', '[3]'])
      expect(() => parseServerConfig(withLimit(bad), 'server.yaml')).toThrow(
        /vpn_server\.max_configurations must be a whole number/,
      );
  });
});
