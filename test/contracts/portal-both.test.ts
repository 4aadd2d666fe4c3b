import { afterEach, describe, expect, it } from 'vitest';
import { createPortalConnector } from '../../src/adapters/eduvpn/portal-connector.ts';
import type { PortalSettings } from '../../src/core/config/portal-settings.ts';
import { parseClientConfig } from '../../src/core/vpn/client-config.ts';
import { startEmbeddedPortal } from '../support/embedded-portal.ts';
import {
  type RecordedExchange,
  recorded,
  recordedStep,
  startPortalReplay,
} from '../support/portal-replay.ts';

const PASSWORD = 'pass word & more';
const SECRET = 'client-secret/=';
const CLIENT = 'some-client.vantage6.ai';

const DISCOVERY = recorded('01-discovery', 0);
const LOGIN_PAGE = recorded('02-login-authorize', 0);
const LOGIN = recorded('02-login-authorize', 1);
const AUTHORIZE = recorded('02-login-authorize', 2);
const TOKEN = recorded('05-token', 0);
const UNTIL_TOKEN = [DISCOVERY, LOGIN_PAGE, LOGIN, AUTHORIZE, TOKEN];

/** The recorded request of `exchange` with the recorded answer of another step. */
function answeredAs(exchange: RecordedExchange, other: RecordedExchange): RecordedExchange {
  return { ...exchange, response: other.response };
}

/** What eduVPN answered, in order; the embedded portal needs no script. */
const SCRIPTS = {
  config: [
    ...UNTIL_TOKEN,
    recorded('07-info', 0),
    recordedStep('08-connect', 'Accept: application/x-openvpn-profile'),
    recordedStep('09-disconnect', 'disconnect: 204'),
    recordedStep('09-disconnect', 'disconnect again'),
  ],
  refresh: [
    ...UNTIL_TOKEN,
    recordedStep('06-refresh', 'refresh (confidential'),
    recorded('07-info', 0),
    recordedStep('06-refresh', 'refresh token replayed'),
  ],
  wrongPassword: [
    DISCOVERY,
    LOGIN_PAGE,
    answeredAs(LOGIN, recorded('22-client-vantage6-4.14-wrong-password', 1)),
  ],
  wrongSecret: [
    ...UNTIL_TOKEN.slice(0, 4),
    answeredAs(TOKEN, recordedStep('05-token', 'confidential client, wrong secret')),
  ],
  wrongClient: [
    ...UNTIL_TOKEN.slice(0, 3),
    answeredAs(AUTHORIZE, recordedStep('04-authorize-errors', 'unknown client_id')),
  ],
  wrongRedirect: [
    ...UNTIL_TOKEN.slice(0, 3),
    answeredAs(AUTHORIZE, recordedStep('04-authorize-errors', 'redirect_uri not registered')),
  ],
  deadToken: [
    DISCOVERY,
    answeredAs(recorded('07-info', 0), recordedStep('10-bearer-errors', 'bad signature')),
  ],
  unknownProfile: [...UNTIL_TOKEN, recordedStep('08-connect', 'unknown profile')],
} satisfies Record<string, readonly RecordedExchange[]>;

type Script = keyof typeof SCRIPTS;
type Portal = { readonly url: string; close(): Promise<void> };

const startOurs = () =>
  startEmbeddedPortal({
    user: 'nodes',
    password: PASSWORD,
    client: { id: CLIENT, secret: SECRET, redirectUri: 'http://localhost' },
  });

const PORTALS: readonly (readonly [
  string,
  (script: Script) => Promise<Portal>,
  number | undefined,
])[] = [
  ['recorded answers of eduVPN 3.4.1', (script) => startPortalReplay(SCRIPTS[script]), 3],
  ['the embedded portal', startOurs, undefined],
];

const settingsFor = ({ url }: Portal): PortalSettings => ({
  url,
  redirectUrl: 'http://localhost',
  clientId: CLIENT,
  clientSecret: SECRET,
  username: 'nodes',
  password: PASSWORD,
});

describe.each(PORTALS)('portal connector against %s', (_name, start, limit) => {
  let portal: Portal | undefined;
  afterEach(async () => {
    await portal?.close();
    portal = undefined;
  });

  async function connectorFor(script: Script, change: Partial<PortalSettings> = {}) {
    portal = await start(script);
    return createPortalConnector({ ...settingsFor(portal), ...change });
  }

  it('logs in, finds the profile, gets a client config and gives it back', async () => {
    const connector = await connectorFor('config');
    const tokens = await connector.authorize();
    expect(tokens.accessExpiresAt.getTime()).toBeGreaterThan(Date.now());
    expect(await connector.findProfile(tokens)).toEqual({ id: 'default', displayName: 'Default' });
    const issued = await connector.connect(tokens, { profile: 'default', node: 'North node 7' });
    expect(issued.expiresAt?.getTime()).toBeGreaterThan(Date.now());
    expect(issued.text).toMatch(/^remote \S+ 1194 udp$/m);
    await connector.disconnect(tokens);
    await connector.disconnect(tokens);
  });

  it('knows how many configurations an account may hold, unless it is told', async () => {
    expect(await (await connectorFor('config')).limit()).toBe(limit);
    await portal?.close();
    expect(await (await connectorFor('config', { maxConfigurations: 7 })).limit()).toBe(7);
    await portal?.close();
    expect(await (await connectorFor('config', { maxConfigurations: 0 })).limit()).toBeUndefined();
  });

  it('renews tokens once with each refresh token', async () => {
    const connector = await connectorFor('refresh');
    const tokens = await connector.authorize();
    const renewed = await connector.refresh(tokens);
    expect(renewed.accessToken).not.toBe('');
    expect((await connector.findProfile(renewed)).id).toBe('default');
    await expect(connector.refresh(tokens)).rejects.toMatchObject({ code: 'V6_PORTAL_TOKEN' });
  });

  it.each([
    ['wrongPassword', { password: 'wrong' }, 'V6_PORTAL_ACCOUNT'],
    ['wrongSecret', { clientSecret: 'wrong' }, 'V6_PORTAL_CLIENT'],
    ['wrongClient', { clientId: 'nobody' }, 'V6_PORTAL_CLIENT'],
    ['wrongRedirect', { redirectUrl: 'https://localhost/other' }, 'V6_PORTAL_REDIRECT'],
  ] as const)('tells what is wrong with the settings: %s', async (script, change, code) => {
    const connector = await connectorFor(script, change);
    await expect(connector.authorize()).rejects.toMatchObject({ code });
  });

  it('says when a token is not accepted', async () => {
    const connector = await connectorFor('deadToken');
    const tokens = { accessToken: 'made.up.token', refreshToken: 'x', accessExpiresAt: new Date() };
    await expect(connector.findProfile(tokens)).rejects.toMatchObject({ code: 'V6_PORTAL_TOKEN' });
  });

  it('says when the profile is unknown', async () => {
    const connector = await connectorFor('unknownProfile');
    const tokens = await connector.authorize();
    await expect(
      connector.connect(tokens, { profile: 'nothing', node: '7' }),
    ).rejects.toMatchObject({ code: 'V6_PORTAL_NO_PROFILE' });
  });
});

describe('a client config of the embedded portal', () => {
  // The recorded one has a placeholder for its key, so only ours can be read to the end.
  it('passes the allow-list of the nodes, and ends when the portal says', async () => {
    const portal = await startOurs();
    try {
      const connector = createPortalConnector(settingsFor(portal));
      const tokens = await connector.authorize();
      const issued = await connector.connect(tokens, { profile: 'default', node: '7' });
      const { certificate, remotes } = parseClientConfig(issued.text);
      expect(remotes).toEqual([{ host: '127.0.0.1', port: 1194, protocol: 'udp' }]);
      expect(certificate.notAfter).toEqual(issued.expiresAt);
    } finally {
      await portal.close();
    }
  });
});
