import { afterEach, describe, expect, it } from 'vitest';
import { createPortalConnector } from '../../src/adapters/eduvpn/portal-connector.ts';
import type { PortalSettings } from '../../src/core/config/portal-settings.ts';
import {
  type PortalReplay,
  type RecordedExchange,
  recorded,
  recordedStep,
  startPortalReplay,
} from '../support/portal-replay.ts';
import { compareRequests } from '../support/request-rules.ts';

const PUBLIC = '20-client-vantage6-4.14-public';
const WRONG_PASSWORD = '22-client-vantage6-4.14-wrong-password';
const PASSWORD = 'portal password & more';
const SECRET = 'client+secret/=';
const CONFIDENTIAL_CLIENT = { id: 'some-client.vantage6.ai', secret: SECRET };
const PUBLIC_CLIENT = { id: 'public-client', secret: '' };
const LOGIN_PAGE = recorded('02-login-authorize', 0);
// vantage6 posts the form without fetching it, so the page for its client is the other client's with the name changed.
const PUBLIC_LOGIN_PAGE = JSON.parse(
  JSON.stringify(LOGIN_PAGE).replaceAll(CONFIDENTIAL_CLIENT.id, PUBLIC_CLIENT.id),
) as RecordedExchange;
const ROOT = '/vpn-user-portal';

let replay: PortalReplay | undefined;
afterEach(async () => {
  await replay?.close();
  replay = undefined;
});

async function replayOf(
  exchanges: readonly RecordedExchange[],
  client: { id: string; secret: string },
): Promise<{ replay: PortalReplay; settings: PortalSettings }> {
  replay = await startPortalReplay(exchanges, {
    '<PORTAL_PASSWORD>': encodeURIComponent(PASSWORD),
    '<CLIENT_SECRET>': encodeURIComponent(client.secret),
    '<BASIC>': Buffer.from(`${client.id}:${client.secret}`).toString('base64'),
  });
  const settings: PortalSettings = {
    url: replay.url,
    redirectUrl: 'http://localhost',
    clientId: client.id,
    clientSecret: client.secret,
    username: 'nodes',
    password: PASSWORD,
  };
  return { replay, settings };
}

describe('portal connector against recorded exchanges of eduVPN 3.4.1', () => {
  it('gets a client config as a public client', async () => {
    const exchanges = [
      recorded(PUBLIC, 0),
      PUBLIC_LOGIN_PAGE,
      ...[1, 2, 3, 4, 5].map((index) => recorded(PUBLIC, index)),
    ];
    const { replay, settings } = await replayOf(exchanges, PUBLIC_CLIENT);
    const connector = createPortalConnector(settings);
    const tokens = await connector.authorize();
    const profile = await connector.findProfile(tokens);
    const issued = await connector.connect(tokens, { profile: profile.id, node: 'node-7' });
    expect(replay.unexpected).toEqual([]);
    expect(profile).toEqual({ id: 'default', displayName: 'Default' });
    expect(tokens.accessToken).toBe(replay.valueOf('<ACCESS_TOKEN>'));
    expect(issued.expiresAt).toEqual(new Date('2027-02-20T00:53:31Z'));
    expect(issued.text).toBe(replay.fill(recorded(PUBLIC, 5).response.body));
    expect(compareRequests(replay, exchanges, [PUBLIC_LOGIN_PAGE])).toEqual({
      different: [],
      missing: [
        // vantage6 sends a secret that a public client does not have, and its browser session to the API.
        `POST ${ROOT}/oauth/token: form client_secret`,
        `POST ${ROOT}/oauth/token: header cookie`,
        `GET ${ROOT}/api/v3/info: header cookie`,
        `POST ${ROOT}/api/v3/connect: header cookie`,
      ],
      extra: [
        'GET /.well-known/vpn-user-portal: header accept',
        `GET ${ROOT}/oauth/authorize`,
        `POST ${ROOT}/_user_pass_auth/verify: header cookie`,
        `GET ${ROOT}/api/v3/info: header accept`,
        `POST ${ROOT}/api/v3/connect: form v6_node`,
        `POST ${ROOT}/api/v3/connect: header accept`,
      ],
    });
  });

  it('gets a client config as a client with a secret', async () => {
    const exchanges = [
      recorded('01-discovery', 0),
      LOGIN_PAGE,
      recorded('02-login-authorize', 1),
      recorded('02-login-authorize', 2),
      recorded('05-token', 0),
      recorded('07-info', 0),
      recordedStep('08-connect', 'Accept: application/x-openvpn-profile'),
      recordedStep('09-disconnect', 'disconnect: 204'),
    ];
    const { replay, settings } = await replayOf(exchanges, CONFIDENTIAL_CLIENT);
    const connector = createPortalConnector(settings);
    const tokens = await connector.authorize();
    const profile = await connector.findProfile(tokens);
    const issued = await connector.connect(tokens, { profile: profile.id, node: 'node-7' });
    await connector.disconnect(tokens);
    expect(replay.unexpected).toEqual([]);
    expect(issued.expiresAt).toEqual(new Date('2027-02-20T00:52:03Z'));
    expect(compareRequests(replay, exchanges)).toEqual({
      different: [],
      missing: [],
      extra: [
        'GET /.well-known/vpn-user-portal: header accept',
        `POST ${ROOT}/_user_pass_auth/verify: form authRedirectTo`,
        `POST ${ROOT}/_user_pass_auth/verify: header cookie`,
        `POST ${ROOT}/oauth/token: header accept`,
        `GET ${ROOT}/api/v3/info: header accept`,
        `POST ${ROOT}/api/v3/connect: form v6_node`,
        `POST ${ROOT}/api/v3/disconnect: header accept`,
      ],
    });
  });

  it('takes the login form after a login as a wrong password, and stops there', async () => {
    const exchanges = [recorded(WRONG_PASSWORD, 0), PUBLIC_LOGIN_PAGE, recorded(WRONG_PASSWORD, 1)];
    const { replay, settings } = await replayOf(exchanges, PUBLIC_CLIENT);
    const connector = createPortalConnector({ ...settings, password: 'wrong' });
    await expect(connector.authorize()).rejects.toMatchObject({
      code: 'V6_PORTAL_ACCOUNT',
      details: { keys: ['portal_username', 'portal_userpass'] },
    });
    expect(replay.unexpected).toEqual([]);
    expect(compareRequests(replay, exchanges, [PUBLIC_LOGIN_PAGE])).toEqual({
      different: [],
      missing: [],
      extra: [
        'GET /.well-known/vpn-user-portal: header accept',
        `GET ${ROOT}/oauth/authorize`,
        `POST ${ROOT}/_user_pass_auth/verify: header cookie`,
      ],
    });
  });
});

describe('the comparison of requests', () => {
  it('names a value that differs, a field that is missing and one that is too much', async () => {
    const exchanges = [recorded(WRONG_PASSWORD, 0), PUBLIC_LOGIN_PAGE, recorded(WRONG_PASSWORD, 1)];
    const { replay, settings } = await replayOf(exchanges, PUBLIC_CLIENT);
    await expect(createPortalConnector(settings).authorize()).rejects.toThrow();
    const login = recorded(WRONG_PASSWORD, 1);
    const other: RecordedExchange = {
      ...login,
      request: {
        ...login.request,
        headers: { ...login.request.headers, Referer: 'https://elsewhere.example/' },
        body: 'userName=nodes&userPass=wrong&language=en',
      },
    };
    expect(
      compareRequests(replay, [recorded(WRONG_PASSWORD, 0), PUBLIC_LOGIN_PAGE, other]),
    ).toEqual({
      different: [
        `POST ${ROOT}/_user_pass_auth/verify: form userPass`,
        `POST ${ROOT}/_user_pass_auth/verify: header referer`,
      ],
      missing: [`POST ${ROOT}/_user_pass_auth/verify: form language`],
      extra: [
        'GET /.well-known/vpn-user-portal: header accept',
        `POST ${ROOT}/_user_pass_auth/verify: form _user_pass_auth_redirect_to`,
        `POST ${ROOT}/_user_pass_auth/verify: form authRedirectTo`,
        `POST ${ROOT}/_user_pass_auth/verify: header cookie`,
      ],
    });
  });
});
