import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { createPortalConnector } from '../../src/adapters/eduvpn/portal-connector.ts';
import type { PortalSettings } from '../../src/core/config/portal-settings.ts';
import { V6Error } from '../../src/core/errors.ts';
import { createCertificateMaker } from '../../src/portal/pki.ts';
import type { PortalTokens } from '../../src/server/interfaces/portal-connector.ts';
import {
  type PortalReplay,
  type RecordedExchange,
  recorded,
  recordedStep,
  startPortalReplay,
} from '../support/portal-replay.ts';

const DISCOVERY = recorded('01-discovery', 0);
const LOGIN_PAGE = recorded('02-login-authorize', 0);
const LOGIN = recorded('02-login-authorize', 1);
const AUTHORIZE = recorded('02-login-authorize', 2);
const TOKEN = recorded('05-token', 0);
const INFO = recorded('07-info', 0);
const CONNECT = recorded('08-connect', 0);
const TOKENS: PortalTokens = {
  accessToken: 'access-token-of-the-test',
  refreshToken: 'refresh-token-of-the-test',
  accessExpiresAt: new Date('2030-01-01'),
};
const SETTINGS: PortalSettings = {
  url: '',
  redirectUrl: 'http://localhost',
  clientId: 'some-client.vantage6.ai',
  clientSecret: 'canary-client-secret',
  username: 'nodes',
  password: 'canary-portal-password',
};

let replay: PortalReplay | undefined;
afterEach(async () => {
  await replay?.close();
  replay = undefined;
});

type Answer = Partial<RecordedExchange['response']>;

/** The recorded request with another answer. */
function answered(exchange: RecordedExchange, answer: Answer): RecordedExchange {
  return { ...exchange, response: { ...exchange.response, ...answer } };
}

function json(body: unknown, status = 200): Answer {
  return { status, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) };
}

function html(body: string, status = 200): Answer {
  return { status, headers: { 'Content-Type': 'text/html;charset=utf-8' }, body };
}

function redirect(location: string): Answer {
  return { status: 302, headers: { Location: location }, body: '' };
}

async function connectorFor(
  exchanges: readonly RecordedExchange[],
  settings: Partial<PortalSettings> = {},
) {
  replay = await startPortalReplay(exchanges);
  return createPortalConnector({ ...SETTINGS, url: replay.url, ...settings }, { timeoutMs: 3000 });
}

async function failureOf(promise: Promise<unknown>): Promise<V6Error> {
  const error: unknown = await promise.then(
    () => new Error('nothing was thrown'),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof V6Error)) throw error;
  const said = JSON.stringify([error.message, error.hints, error.details]);
  for (const secret of [
    SETTINGS.password,
    SETTINGS.clientSecret,
    TOKENS.accessToken,
    TOKENS.refreshToken,
  ])
    expect(said).not.toContain(secret);
  expect(error.hints.length).toBeGreaterThan(0);
  return error;
}

describe('what goes wrong before the login', () => {
  it.each([
    ['a web page', html('<!DOCTYPE html><p>hello'), /a web page instead of JSON/],
    ['no such document', html('not here', 404), /no discovery document/],
    ['JSON of something else', json({ hello: 'world' }), /without an API/],
    ['a list', json([1]), /not an object/],
    ['an empty body', { status: 200, headers: {}, body: '' }, /an empty body instead of JSON/],
    [
      'an endpoint missing',
      json({ api: { 'http://eduvpn.org/api#3': { api_endpoint: 'https://x/api/v3' } } }),
      /without authorization_endpoint/,
    ],
    ['a body without end', html('x'.repeat(1_100_000)), /more than 1048576 bytes/],
    ['a redirect to plain http', redirect('http://elsewhere.example/'), /a redirect to http:/],
  ])('says what discovery answered: %s', async (_name, answer, message) => {
    const connector = await connectorFor([answered(DISCOVERY, answer)]);
    const error = await failureOf(connector.authorize());
    expect(error.code).toBe('V6_PORTAL_ANSWER');
    expect(error.message).toMatch(message);
  });

  it('asks again for the discovery document after a failure', async () => {
    const connector = await connectorFor([answered(DISCOVERY, json({}, 500)), DISCOVERY, INFO]);
    expect((await failureOf(connector.findProfile(TOKENS))).code).toBe('V6_PORTAL_ANSWER');
    expect((await connector.findProfile(TOKENS)).id).toBe('default');
  });

  it.each([502, 503, 504])(
    'takes status %i of a proxy as a portal that is down',
    async (status) => {
      const connector = await connectorFor([answered(DISCOVERY, html('bad gateway', status))]);
      expect((await failureOf(connector.authorize())).code).toBe('V6_PORTAL_UNREACHABLE');
    },
  );

  it('says that nobody listens', async () => {
    const { url } = await startPortalReplay([]).then(async (stopped) => {
      await stopped.close();
      return stopped;
    });
    const error = await failureOf(createPortalConnector({ ...SETTINGS, url }).authorize());
    expect(error.code).toBe('V6_PORTAL_UNREACHABLE');
    expect(error.message).toContain('ECONNREFUSED');
  });

  it('gives up on a portal that never answers, and at once when the caller does', async () => {
    const server = createServer(() => undefined);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      const error = await failureOf(
        createPortalConnector({ ...SETTINGS, url }, { timeoutMs: 80 }).authorize(),
      );
      expect(error.code).toBe('V6_PORTAL_UNREACHABLE');
      expect(error.message).toContain('no answer within 80 ms');
      const reason = new Error('stopped by the caller');
      const abort = AbortSignal.abort(reason);
      await expect(createPortalConnector({ ...SETTINGS, url }).authorize(abort)).rejects.toBe(
        reason,
      );
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it('tells a certificate of an unknown authority, and no TLS at all, from a portal that is away', async () => {
    const maker = createCertificateMaker();
    const span = {
      notBefore: new Date(Date.now() - 60_000),
      notAfter: new Date(Date.now() + 600_000),
    };
    const authority = await maker.makeAuthority(span.notBefore, span.notAfter);
    const pair = await maker.makeServer(authority, {
      commonName: 'localhost',
      organizationalUnit: 'test',
      ...span,
    });
    const secure = createSecureServer({ key: pair.privateKey, cert: pair.certificate });
    const plain = createServer();
    for (const [server, reason] of [
      [secure, /UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT/],
      [plain, /ERR_SSL_/],
    ] as const) {
      await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
      const { port } = server.address() as AddressInfo;
      const url = `https://localhost:${port}`;
      const error = await failureOf(createPortalConnector({ ...SETTINGS, url }).authorize());
      server.closeAllConnections();
      server.close();
      expect(error.code).toBe('V6_PORTAL_TLS');
      expect(error.message).toMatch(reason);
      expect(error.hints.join(' ')).toContain('NODE_EXTRA_CA_CERTS');
    }
  });
});

/** Up to the answer of authorize after the login. */
const AUTHORIZE_LATER = (answer: Answer) => [
  DISCOVERY,
  LOGIN_PAGE,
  LOGIN,
  answered(AUTHORIZE, answer),
];

describe('what goes wrong at login and authorize', () => {
  it('says when the portal has seen too many wrong passwords', async () => {
    const busy: Answer = { ...html('<p class="error">too many wrong passwords</p>', 429) };
    const connector = await connectorFor([DISCOVERY, LOGIN_PAGE, answered(LOGIN, busy)]);
    const error = await failureOf(connector.authorize());
    expect(error.code).toBe('V6_PORTAL_ANSWER');
    expect(error.message).toContain('429: too many wrong passwords');
    expect(error.hints[0]).toContain('Wait');
  });

  it.each([
    ['unknown client_id', 'V6_PORTAL_CLIENT', 'client_id'],
    ['redirect_uri not registered', 'V6_PORTAL_REDIRECT', 'redirect_url'],
  ])('names the key when the portal says: %s', async (step, code, key) => {
    const { response } = recordedStep('04-authorize-errors', step);
    const error = await failureOf((await connectorFor(AUTHORIZE_LATER(response))).authorize());
    expect(error.code).toBe(code);
    expect(error.details.keys).toEqual([key]);
    expect(error.hints.join(' ')).toContain(key);
  });

  it('says that the portal waits for a person to approve the client', async () => {
    const page = recordedApproval();
    const error = await failureOf((await connectorFor(AUTHORIZE_LATER(page))).authorize());
    expect(error.code).toBe('V6_PORTAL_APPROVAL');
    expect(error.hints.join(' ')).toContain('requires_approval');
  });

  it('says that the account is disabled', async () => {
    const { response } = recordedStep('11-account-states', 'account disabled: SECOND');
    const error = await failureOf((await connectorFor(AUTHORIZE_LATER(response))).authorize());
    expect(error.code).toBe('V6_PORTAL_ACCOUNT');
    expect(error.message).toContain('your account has been disabled');
  });

  it.each([
    ['another state', 'http://localhost?code=a&state=of-somebody-else', /another state/],
    [
      'another issuer',
      'http://localhost?code=a&state=<STATE>&iss=https%3A%2F%2Felsewhere.example%2F',
      /another portal issued/,
    ],
    [
      'another place',
      'https://sso.example.org/login?code=a&state=<STATE>',
      /redirect to https:\/\/sso\.example\.org\/login/,
    ],
    ['no code', 'http://localhost?state=<STATE>', /no code/],
    ['an error', 'http://localhost?state=<STATE>&error=server_error', /server_error/],
  ])('does not take a redirect with %s', async (_name, location, message) => {
    const error = await failureOf(
      (await connectorFor(AUTHORIZE_LATER(redirect(location)))).authorize(),
    );
    expect(error.code).toBe('V6_PORTAL_ANSWER');
    expect(error.message).toMatch(message);
  });

  it('accepts an answer without issuer, as portals before 3.1 give it', async () => {
    const answer = redirect('http://localhost?code=abc&state=<STATE>');
    const connector = await connectorFor([...AUTHORIZE_LATER(answer), TOKEN]);
    expect((await connector.authorize()).accessToken).toBe(replay?.valueOf('<ACCESS_TOKEN>'));
  });

  it.each(['https://localhost', 'https://example.org/callback?tenant=1'])(
    'never contacts the redirect URL %s',
    async (redirectUrl) => {
      const separator = redirectUrl.includes('?') ? '&' : '?';
      const answer = redirect(`${redirectUrl}${separator}code=abc&state=<STATE>`);
      const connector = await connectorFor([...AUTHORIZE_LATER(answer), TOKEN], { redirectUrl });
      await connector.authorize();
      const token = new URLSearchParams(replay?.requests.at(-1)?.body);
      expect(token.get('redirect_uri')).toBe(redirectUrl);
      expect(replay?.unexpected).toEqual([]);
    },
  );

  it.each([
    ['a page without a form', html('<html><p>maintenance</p></html>'), 'V6_PORTAL_ANSWER'],
    ['a login at another service', redirect('https://sso.example.org/'), 'V6_PORTAL_ANSWER'],
    [
      'a form that posts elsewhere',
      html(
        '<form action="https://evil.example/x"><input name="userName"><input name="userPass"></form>',
      ),
      'V6_PORTAL_ANSWER',
    ],
  ])('sends no password to %s', async (_name, answer, code) => {
    const error = await failureOf(
      (await connectorFor([DISCOVERY, answered(LOGIN_PAGE, answer)])).authorize(),
    );
    expect(error.code).toBe(code);
    expect(replay?.requests.map(({ body }) => body).join('')).not.toContain('userPass');
  });

  it('tells a refused form from a wrong password', async () => {
    const { response } = recordedStep('03-login-errors', 'missing _user_pass_auth_redirect_to');
    const error = await failureOf(
      (await connectorFor([DISCOVERY, LOGIN_PAGE, answered(LOGIN, response)])).authorize(),
    );
    expect(error.code).toBe('V6_PORTAL_ANSWER');
    expect(error.message).toContain('missing post parameter "_user_pass_auth_redirect_to"');
  });

  it('says that the session was not kept when the login page comes back after a login', async () => {
    const error = await failureOf(
      (await connectorFor(AUTHORIZE_LATER(LOGIN_PAGE.response))).authorize(),
    );
    expect(error.code).toBe('V6_PORTAL_ANSWER');
    expect(error.hints[0]).toContain('cookie');
  });
});

/** Page of portal 3.4.1 for a client that needs approval, shortened to what counts. */
function recordedApproval(): Answer {
  return html(
    '<main><form method="post"><button type="submit" name="approve" value="yes">Approve</button><button name="approve" value="no">Reject</button></form></main>',
  );
}

describe('what goes wrong with tokens', () => {
  const UNTIL_CODE = [DISCOVERY, LOGIN_PAGE, LOGIN, AUTHORIZE];

  it.each([
    'confidential client, wrong secret',
    'confidential client, secret in the body',
    'unknown client_id',
  ])('names client_secret when the portal says: %s', async (step) => {
    const { response } = recordedStep('05-token', step);
    const error = await failureOf(
      (await connectorFor([...UNTIL_CODE, answered(TOKEN, response)])).authorize(),
    );
    expect(error.code).toBe('V6_PORTAL_CLIENT');
    expect(error.hints[0]).toContain('client_secret');
  });

  it.each([
    ['a page', html('<p>x')],
    ['no tokens', json({ token_type: 'bearer', expires_in: 1 })],
    ['no refresh token', json({ access_token: 'a', token_type: 'bearer', expires_in: 1 })],
    [
      'another type',
      json({ access_token: 'a', refresh_token: 'b', token_type: 'mac', expires_in: 1 }),
    ],
    ['no end', json({ access_token: 'a', refresh_token: 'b', token_type: 'bearer' })],
    ['a redirect', redirect('https://elsewhere.example/token')],
    ['invalid_grant', recordedStep('05-token', 'made-up code').response],
  ])('does not understand %s', async (_name, answer) => {
    const error = await failureOf(
      (await connectorFor([...UNTIL_CODE, answered(TOKEN, answer)])).authorize(),
    );
    expect(error.code).toBe('V6_PORTAL_ANSWER');
  });

  it('renews tokens, and says when the authorization has ended', async () => {
    const connector = await connectorFor([
      DISCOVERY,
      recordedStep('06-refresh', 'refresh (confidential'),
      recordedStep('06-refresh', 'refresh token replayed'),
    ]);
    const renewed = await connector.refresh(TOKENS);
    expect(renewed.refreshToken).toBe(replay?.valueOf('<REFRESH_TOKEN>'));
    expect(renewed.accessExpiresAt.getTime()).toBeGreaterThan(Date.now());
    const sent = new URLSearchParams(replay?.requests[1]?.body);
    expect(Object.fromEntries(sent)).toEqual({
      grant_type: 'refresh_token',
      refresh_token: TOKENS.refreshToken,
      client_id: SETTINGS.clientId,
    });
    expect((await failureOf(connector.refresh(TOKENS))).code).toBe('V6_PORTAL_TOKEN');
  });
});

const profiles = (...list: unknown[]) => json({ info: { profile_list: list } });

const openvpn = (id: string) => ({
  profile_id: id,
  display_name: id,
  vpn_proto_list: ['openvpn'],
});

const ovpn = (body: string): Answer => ({
  status: 200,
  headers: { 'Content-Type': 'application/x-openvpn-profile' },
  body,
});

const file = CONNECT.response.body;

describe('what goes wrong at info, connect and disconnect', () => {
  it.each([
    ['none', profiles(), undefined, 'V6_PORTAL_NO_PROFILE'],
    [
      'only WireGuard',
      profiles({ ...openvpn('a'), vpn_proto_list: ['wireguard'] }),
      undefined,
      'V6_PORTAL_NO_PROFILE',
    ],
    ['another than the named one', profiles(openvpn('a')), 'b', 'V6_PORTAL_NO_PROFILE'],
    [
      'two and none named',
      profiles(openvpn('a'), openvpn('b')),
      undefined,
      'V6_PORTAL_SEVERAL_PROFILES',
    ],
    ['no list', json({ info: {} }), undefined, 'V6_PORTAL_ANSWER'],
    ['no id', profiles({ display_name: 'x' }), undefined, 'V6_PORTAL_ANSWER'],
    ['a page', html('<p>x'), undefined, 'V6_PORTAL_ANSWER'],
    ['a refused token', recorded('10-bearer-errors', 0).response, undefined, 'V6_PORTAL_TOKEN'],
  ])('names the cause when the profiles are: %s', async (_name, answer, profile, code) => {
    const connector = await connectorFor(
      [DISCOVERY, answered(INFO, answer)],
      profile === undefined ? {} : { profile },
    );
    expect((await failureOf(connector.findProfile(TOKENS))).code).toBe(code);
  });

  it('finds the named profile among several, and the only one with OpenVPN', async () => {
    const several = profiles(openvpn('a'), { ...openvpn('b'), display_name: { nl: 'Bee' } });
    const named = await connectorFor([DISCOVERY, answered(INFO, several)], { profile: 'b' });
    expect(await named.findProfile(TOKENS)).toEqual({ id: 'b', displayName: 'Bee' });
    await replay?.close();
    const mixed = profiles({ ...openvpn('w'), vpn_proto_list: ['wireguard'] }, openvpn('o'));
    const only = await connectorFor([DISCOVERY, answered(INFO, mixed)]);
    expect((await only.findProfile(TOKENS)).id).toBe('o');
  });

  it.each([
    ['404', recordedStep('08-connect', 'unknown profile').response, 'V6_PORTAL_NO_PROFILE'],
    [
      '403',
      recordedStep('16-server-side-limits', 'connect with maxActive').response,
      'V6_PORTAL_QUOTA',
    ],
    [
      '406',
      recordedStep('08-connect', 'Accept: application/x-wireguard').response,
      'V6_PORTAL_NOT_OPENVPN',
    ],
    [
      '500',
      recordedStep('16-server-side-limits', 'VPN node unreachable').response,
      'V6_PORTAL_ANSWER',
    ],
    ['401', recorded('10-bearer-errors', 0).response, 'V6_PORTAL_TOKEN'],
    ['a page', html('<p>welcome'), 'V6_PORTAL_NOT_OPENVPN'],
    ['JSON with status 200', json({ error: 'no' }), 'V6_PORTAL_NOT_OPENVPN'],
    [
      'a WireGuard file',
      { ...ovpn('[Interface]\n'), headers: { 'Content-Type': 'application/x-wireguard-profile' } },
      'V6_PORTAL_NOT_OPENVPN',
    ],
    [
      'a file without a key',
      ovpn(file.replace(/<key>[\s\S]*<\/key>/, '')),
      'V6_PORTAL_NOT_OPENVPN',
    ],
    ['a file without a remote', ovpn(file.replace(/^remote .*/gm, '')), 'V6_PORTAL_NOT_OPENVPN'],
    ['an empty file', ovpn(''), 'V6_PORTAL_NOT_OPENVPN'],
  ])('takes no client config out of: %s', async (_name, answer, code) => {
    const connector = await connectorFor([DISCOVERY, answered(CONNECT, answer)]);
    const error = await failureOf(connector.connect(TOKENS, { profile: 'default', node: '7' }));
    expect(error.code).toBe(code);
    expect(JSON.stringify([error.message, error.details])).not.toContain('PRIVATE KEY');
  });

  it('takes status 201, CRLF and an answer without Expires', async () => {
    const answer = { ...ovpn(file.replaceAll('\n', '\r\n')), status: 201 };
    const connector = await connectorFor([DISCOVERY, answered(CONNECT, answer)]);
    const issued = await connector.connect(TOKENS, { profile: 'default', node: '7' });
    expect(issued.text).not.toContain('\r');
    expect(issued.text).toContain('\nremote vpn.example.test 1194 udp');
    // The end of the certificate in the file.
    expect(issued.expiresAt).toEqual(new Date('2027-02-20T00:52:03Z'));
  });

  it('gives back what is held; nothing held and a dead token are fine, other answers are not', async () => {
    const disconnect = recordedStep('09-disconnect', 'disconnect: 204');
    const connector = await connectorFor([
      DISCOVERY,
      disconnect,
      answered(disconnect, recorded('10-bearer-errors', 0).response),
      answered(disconnect, json({ error: 'broken' }, 500)),
    ]);
    await connector.disconnect(TOKENS);
    await connector.disconnect(TOKENS);
    expect((await failureOf(connector.disconnect(TOKENS))).code).toBe('V6_PORTAL_ANSWER');
  });
});
