import { afterEach, describe, expect, it } from 'vitest';
import { createPortalConnector } from '../../src/adapters/eduvpn/portal-connector.ts';
import type { PortalSettings } from '../../src/core/config/portal-settings.ts';
import { parseClientConfig } from '../../src/core/vpn/client-config.ts';
import { createCertificateMaker } from '../../src/portal/pki.ts';
import type { PortalTokens } from '../../src/server/interfaces/portal-connector.ts';
import {
  type PortalReplay,
  type RecordedExchange,
  recorded,
  recordedStep,
  startPortalReplay,
} from '../support/portal-replay.ts';
import { compareRequests } from '../support/request-rules.ts';

const ROOT = '/vpn-user-portal';
const CLIENT = { id: 'some-client.vantage6.ai', secret: 'client+secret/=' };
const PASSWORD = 'portal password & more';
const TOKENS: PortalTokens = {
  accessToken: 'access-token-of-the-test',
  refreshToken: 'refresh-token-of-the-test',
  accessExpiresAt: new Date('2030-01-01'),
};
const BOTH = recorded('01-discovery', 0, 'v2');
const V2_KEY = 'http://eduvpn.org/api#2';

/** As a portal before 2.4.1 answers: the recorded document without API v3. */
const V2_ONLY: RecordedExchange = (() => {
  const body = JSON.parse(BOTH.response.body) as { api: Record<string, unknown>; v: string };
  const api = { [V2_KEY]: body.api[V2_KEY] };
  return { ...BOTH, response: { ...BOTH.response, body: JSON.stringify({ ...body, api }) } };
})();
const LOGIN = [0, 1, 2].map((index) => recorded('02-login-authorize', index, 'v2'));
const TOKEN = recorded('05-token', 0, 'v2');
const call = (index: number) => recorded('06-api-v2', index, 'v2');

let replay: PortalReplay | undefined;
afterEach(async () => {
  await replay?.close();
  replay = undefined;
});

/** A keypair with a certificate of its own: the recordings hold certificates, and no keys. */
async function newKeypair() {
  const maker = createCertificateMaker();
  const notBefore = new Date(Date.now() - 60_000);
  const notAfter = new Date(Math.floor(Date.now() / 1000) * 1000 + 600_000);
  const authority = await maker.makeAuthority(notBefore, notAfter);
  const span = { notBefore, notAfter };
  const made = await maker.makeClient(authority, {
    commonName: 'node',
    organizationalUnit: 'internet',
    ...span,
  });
  return { certificate: made.certificate, private_key: made.privateKey, notAfter };
}

async function connectorFor(exchanges: readonly RecordedExchange[]) {
  replay = await startPortalReplay(exchanges, {
    '<PORTAL_PASSWORD>': encodeURIComponent(PASSWORD),
    '<CLIENT_SECRET>': encodeURIComponent(CLIENT.secret),
    // The recordings hold no keys; these have the shape of some.
    '<TLS_CRYPT_KEY>': `${'0123456789abcdef'.repeat(2)}\n`.repeat(16).trim(),
    '<BASIC>': Buffer.from(`${CLIENT.id}:${CLIENT.secret}`).toString('base64'),
  });
  const settings: PortalSettings = {
    url: replay.url,
    redirectUrl: 'http://localhost',
    clientId: CLIENT.id,
    clientSecret: CLIENT.secret,
    username: 'nodes',
    password: PASSWORD,
  };
  return { replay, connector: createPortalConnector(settings, { timeoutMs: 3000 }) };
}

describe('portal connector against recorded exchanges of eduVPN 2.4.4', () => {
  it('gets a client config over API v2 where the portal has no v3', async () => {
    const { notAfter, ...data } = await newKeypair();
    const keypair = {
      ...call(7),
      response: {
        ...call(7).response,
        body: JSON.stringify({ create_keypair: { ok: true, data } }),
      },
    };
    const exchanges = [V2_ONLY, ...LOGIN, TOKEN, call(0), call(3), keypair];
    const { replay, connector } = await connectorFor(exchanges);
    const tokens = await connector.authorize();
    const profile = await connector.findProfile(tokens);
    const issued = await connector.connect(tokens, { profile: profile.id, node: 'node-7' });
    await connector.disconnect(tokens);
    expect(replay.unexpected).toEqual([]);
    expect(profile).toEqual({ id: 'internet', displayName: 'vantage6 :: vpn service' });
    expect(issued.expiresAt).toEqual(notAfter);
    expect(issued.text).not.toContain('\r');
    // What a node takes: the allow-list, with the parts that no recording holds.
    const parsed = parseClientConfig(issued.text);
    expect(parsed.remotes.map(({ host, port, protocol }) => [host, port, protocol])).toEqual([
      ['legacy.example.test', 1194, 'udp'],
      ['legacy.example.test', 1194, 'tcp'],
    ]);
    expect(compareRequests(replay, exchanges)).toEqual({
      // vantage6 goes back to the portal's first page; we go straight on to authorize, as the form says.
      different: [`POST ${ROOT}/_form/auth/verify: form _form_auth_redirect_to`],
      missing: [`POST ${ROOT}/oauth.php/token: form client_secret`],
      extra: [
        'GET /.well-known/vpn-user-portal: header accept',
        `POST ${ROOT}/_form/auth/verify: form _user_pass_auth_redirect_to`,
        `POST ${ROOT}/_form/auth/verify: form authRedirectTo`,
        `POST ${ROOT}/_form/auth/verify: header cookie`,
        `POST ${ROOT}/_form/auth/verify: header referer`,
        `POST ${ROOT}/oauth.php/token: header accept`,
        `GET ${ROOT}/api.php/profile_list: header accept`,
        `GET ${ROOT}/api.php/profile_config: header accept`,
        `POST ${ROOT}/api.php/create_keypair: header accept`,
      ],
    });
  });

  it('knows no limit of configurations over API v2', async () => {
    const { connector } = await connectorFor([V2_ONLY]);
    expect(await connector.limit()).toBeUndefined();
  });

  it('uses API v3 of a portal that offers both', async () => {
    const exchanges = [
      BOTH,
      ...LOGIN,
      TOKEN,
      ...[0, 1, 3].map((n) => recorded('07-api-v3-on-2.4', n, 'v2')),
    ];
    const { replay, connector } = await connectorFor(exchanges);
    const tokens = await connector.authorize();
    const profile = await connector.findProfile(tokens);
    const issued = await connector.connect(tokens, { profile: profile.id, node: 'node-7' });
    await connector.disconnect(tokens);
    expect(replay.unexpected).toEqual([]);
    expect(issued.expiresAt).toEqual(new Date('2027-02-20T00:52:50Z'));
  });

  it('keeps the refresh token that a 2.x portal does not replace', async () => {
    const refresh = recorded('05-token', 7, 'v2');
    const { replay, connector } = await connectorFor([V2_ONLY, refresh]);
    const fresh = await connector.refresh(TOKENS);
    expect(fresh.refreshToken).toBe(TOKENS.refreshToken);
    expect(fresh.accessToken).toBe(replay.valueOf('<ACCESS_TOKEN>'));
  });

  it('takes the login page after a login as a wrong password', async () => {
    const wrong = recorded('03-login-errors', 0, 'v2');
    const { connector } = await connectorFor([
      V2_ONLY,
      recorded('02-login-authorize', 0, 'v2'),
      wrong,
    ]);
    await expect(connector.authorize()).rejects.toMatchObject({
      code: 'V6_PORTAL_ACCOUNT',
      details: { keys: ['portal_username', 'portal_userpass'] },
    });
  });

  it('takes a wrong secret as a wrong client', async () => {
    const wrong = recordedStep('05-token', 'wrong secret', 'v2');
    const { connector } = await connectorFor([V2_ONLY, ...LOGIN, wrong]);
    await expect(connector.authorize()).rejects.toMatchObject({
      code: 'V6_PORTAL_CLIENT',
      details: { keys: ['client_secret', 'client_id'] },
    });
  });

  it.each([4, 5])('takes a refusal with status 200 as a missing profile (%i)', async (index) => {
    const { connector } = await connectorFor([V2_ONLY, call(index)]);
    await expect(
      connector.connect(TOKENS, { profile: 'nope', node: 'node-7' }),
    ).rejects.toMatchObject({ code: 'V6_PORTAL_NO_PROFILE', details: { keys: ['profile'] } });
  });

  it.each([0, 1, 2, 3, 4])(
    'takes a refused token as an ended authorization (%i)',
    async (index) => {
      const { connector } = await connectorFor([
        V2_ONLY,
        recorded('08-bearer-errors', index, 'v2'),
      ]);
      await expect(connector.findProfile(TOKENS)).rejects.toMatchObject({
        code: 'V6_PORTAL_TOKEN',
      });
    },
  );

  it('issues no keypair when the file cannot be had', async () => {
    const broken = { ...call(3), response: { ...call(3).response, body: 'dev tun\r\nclient\r\n' } };
    const { replay, connector } = await connectorFor([V2_ONLY, broken]);
    await expect(
      connector.connect(TOKENS, { profile: 'internet', node: 'node-7' }),
    ).rejects.toMatchObject({
      code: 'V6_PORTAL_NOT_OPENVPN',
      details: { missing: ['ca', 'remote'] },
    });
    expect(replay.requests.map(({ url }) => url.pathname)).not.toContain(
      `${ROOT}/api.php/create_keypair`,
    );
  });

  it.each([
    ['no data', { create_keypair: { ok: true } }, /without certificate or private_key/],
    ['a refusal', { create_keypair: { ok: false, error: 'not now' } }, /not now/],
    ['another call', { other: {} }, /without create_keypair/],
  ])('says what is wrong with a keypair: %s', async (_name, body, message) => {
    const keypair = {
      ...call(7),
      response: { ...call(7).response, body: JSON.stringify(body) },
    };
    const { connector } = await connectorFor([V2_ONLY, call(3), keypair]);
    await expect(
      connector.connect(TOKENS, { profile: 'internet', node: 'node-7' }),
    ).rejects.toThrow(message);
  });
});
