import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { createPortalConnector } from '../../src/adapters/eduvpn/portal-connector.ts';
import { isV6Error } from '../../src/core/errors.ts';
import type {
  PortalConnector,
  PortalTokens,
} from '../../src/server/interfaces/portal-connector.ts';
import {
  type RecordedExchange,
  type Recording,
  readExchanges,
  recorded,
  startPortalReplay,
} from '../support/portal-replay.ts';

const CODES: Readonly<Record<string, string>> = {
  '.': 'goes on',
  A: 'V6_PORTAL_ANSWER',
  C: 'V6_PORTAL_CLIENT',
  N: 'V6_PORTAL_NO_PROFILE',
  O: 'V6_PORTAL_NOT_OPENVPN',
  P: 'V6_PORTAL_APPROVAL',
  Q: 'V6_PORTAL_QUOTA',
  R: 'V6_PORTAL_REDIRECT',
  S: 'V6_PORTAL_SEVERAL_PROFILES',
  T: 'V6_PORTAL_TOKEN',
  U: 'V6_PORTAL_ACCOUNT',
  '-': 'not asked',
};

/**
 * What the connector makes of each recorded answer, given to it in the place where it asks for such a thing: one letter for
 * each exchange of the file, in order. Many of the refusals answer requests that the connector never sends; there it has to
 * say something sensible all the same.
 */
const OUTCOMES: Readonly<Record<string, string>> = {
  'v3 01-discovery': '.',
  'v3 02-login-authorize': 'A....--A.P--',
  'v3 03-login-errors': 'UUAA.AAAAA-AU',
  'v3 04-authorize-errors': 'CRAAAAAAA',
  'v3 05-token': '.A..CACCCAAAAAAA-A',
  'v3 06-refresh': '.....CTTT',
  'v3 07-info': '.--',
  'v3 08-connect': '......A.O..A.N.AAA-',
  'v3 09-disconnect': '....-',
  'v3 10-bearer-errors': 'TTTTT-TT',
  'v3 11-account-states': 'T....U',
  'v3 12-many-nodes-one-account': '......',
  'v3 14-several-profiles-wireguard': 'S.O..OON',
  'v3 15-token-expiry': '...T.',
  'v3 16-server-side-limits': 'Q..N.TA.',
  'v3 20-client-vantage6-4.14-public': '......',
  'v3 21-client-vantage6-4.14-confidential-fails': '...CA',
  'v3 22-client-vantage6-4.14-wrong-password': '.UA',
  'v2 01-discovery': '.',
  'v2 02-login-authorize': 'A..',
  'v2 03-login-errors': 'UA.AAAA',
  'v2 04-authorize-errors': 'CCRAAP',
  'v2 05-token': '.ACCAAA..',
  'v2 06-api-v2': '.-..NNA...-------',
  'v2 07-api-v3-on-2.4': '..N.',
  'v2 08-bearer-errors': 'TTTTT',
  'v2 20-client-vantage6-4.0': '.---.....',
};

/** Why an exchange is none of the connector's. */
const NOT_ASKED: readonly (readonly [RegExp, string])[] = [
  [/(home|_logout|removeClientAuthorization)$/, 'a page for people'],
  [/^POST \S+oauth\/authorize/, 'a person approves or refuses the client'],
  [/^GET \S+(verify|token|connect|disconnect|create_keypair)$/, 'the API has another method'],
  [/^POST \S+info$/, 'the API has another method'],
  [/\/nothing$/, 'the API has no such call'],
  [
    /\/(user_info|check_certificate|system_messages|user_messages)(\?|$)/,
    'a call that v6 does not need',
  ],
  [/^GET \/vpn-user-portal\/?$/, 'the way to the first page, which vantage6 takes after a login'],
];

const TOKENS: PortalTokens = {
  accessToken: 'access-token',
  refreshToken: 'refresh-token',
  accessExpiresAt: new Date('2050-01-01'),
};
const V2_KEY = 'http://eduvpn.org/api#2';

/** The document of a portal that has only the older API. */
function withoutV3(exchange: RecordedExchange): RecordedExchange {
  const document = JSON.parse(exchange.response.body) as { api: Record<string, unknown> };
  const body = JSON.stringify({ ...document, api: { [V2_KEY]: document.api[V2_KEY] } });
  return { ...exchange, response: { ...exchange.response, body } };
}

type Step =
  | 'discovery'
  | 'login'
  | 'authorize'
  | 'token'
  | 'refresh'
  | 'info'
  | 'connect'
  | 'keypair'
  | 'disconnect';

function stepOf({ request }: RecordedExchange): Step | undefined {
  const target = request.path.split('?')[0] ?? '';
  if (target.includes('/.well-known/')) return 'discovery';
  if (request.method === 'POST' && target.endsWith('auth/verify')) return 'login';
  if (request.method === 'GET' && target.endsWith('oauth/authorize')) return 'authorize';
  if (/oauth(\.php)?\/token$/.test(target) && request.method === 'POST')
    return request.body?.includes('grant_type=refresh_token') ? 'refresh' : 'token';
  if (request.method === 'GET' && /\/(info|profile_list)$/.test(target)) return 'info';
  if (request.method === 'POST' && target.endsWith('v3/connect')) return 'connect';
  if (target.endsWith('/profile_config')) return 'connect';
  if (request.method === 'POST' && target.endsWith('/create_keypair')) return 'keypair';
  return request.method === 'POST' && target.endsWith('v3/disconnect') ? 'disconnect' : undefined;
}

const answered = (exchange: RecordedExchange, by: RecordedExchange): RecordedExchange => ({
  ...exchange,
  response: by.response,
});

/** The exchanges up to the step, and what the connector is asked to do. */
function scene(recording: Recording, exchange: RecordedExchange, step: Step) {
  const isV2Call = /api\.php\/(?!v3)/.test(exchange.request.path);
  const document = recorded('01-discovery', 0, recording);
  const discovery = isV2Call ? withoutV3(document) : document;
  const [page, login, authorize] = [0, 1, 2].map((at) =>
    recorded('02-login-authorize', at, recording),
  ) as [RecordedExchange, RecordedExchange, RecordedExchange];
  const token = recorded('05-token', 0, recording);
  const file = recorded('06-api-v2', 3, 'v2');
  const connect = (it: PortalConnector) => it.connect(TOKENS, { profile: 'default', node: 'n' });
  const info = (it: PortalConnector) => it.findProfile(TOKENS);
  const logIn = (it: PortalConnector) => it.authorize();
  const scenes: Record<
    Step,
    readonly [readonly RecordedExchange[], (it: PortalConnector) => Promise<unknown>]
  > = {
    discovery: [[exchange], (it) => it.api()],
    login: [[discovery, page, answered(login, exchange), authorize, token], logIn],
    authorize: [[discovery, page, login, answered(authorize, exchange), token], logIn],
    token: [[discovery, page, login, authorize, answered(token, exchange)], logIn],
    refresh: [[discovery, answered(token, exchange)], (it) => it.refresh(TOKENS)],
    info: [[discovery, exchange], info],
    connect: [
      isV2Call ? [discovery, exchange, recorded('06-api-v2', 7, 'v2')] : [discovery, exchange],
      connect,
    ],
    keypair: [[discovery, file, exchange], connect],
    disconnect: [[discovery, exchange], (it) => it.disconnect(TOKENS)],
  };
  return scenes[step];
}

async function outcomeOf(recording: Recording, file: string, at: number): Promise<string> {
  const exchange = recorded(file, at, recording);
  const step = stepOf(exchange);
  if (step === undefined) return 'not asked';
  const [exchanges, ask] = scene(recording, exchange, step);
  const replay = await startPortalReplay(exchanges);
  const connector = createPortalConnector(
    {
      url: replay.url,
      redirectUrl: 'http://localhost',
      clientId: 'some-client.vantage6.ai',
      clientSecret: 'secret',
      username: 'nodes',
      password: 'password',
    },
    { timeoutMs: 3000 },
  );
  try {
    await ask(connector);
    return 'goes on';
  } catch (error) {
    if (!isV6Error(error)) throw error;
    return error.code;
  } finally {
    await replay.close();
  }
}

const FILES = (['v3', 'v2'] as const).flatMap((recording) =>
  readdirSync(path.join(import.meta.dirname, `../fixtures/eduvpn-${recording}`))
    .filter((name) => name.endsWith('.json'))
    .map((name) => [recording, name.replace('.json', '')] as const),
);

describe('what the connector makes of recorded answers', () => {
  it.each(FILES)('%s %s', async (recording, file) => {
    const outcomes: string[] = [];
    const wanted = (OUTCOMES[`${recording} ${file}`] ?? '')
      .split('')
      .map((letter) => CODES[letter]);
    const steps = readExchanges(file, recording).map(({ step }) => step);
    for (const at of steps.keys()) outcomes.push(await outcomeOf(recording, file, at));
    expect(outcomes.map((outcome, at) => `${outcome}: ${steps[at]}`)).toEqual(
      wanted.map((outcome, at) => `${outcome}: ${steps[at]}`),
    );
  });

  it('leaves out only what it never asks for', () => {
    const unexplained = FILES.flatMap(([recording, file]) =>
      readExchanges(file, recording)
        .filter((exchange) => stepOf(exchange) === undefined)
        .map(({ request }) => `${request.method} ${request.path}`)
        .filter((name) => !NOT_ASKED.some(([pattern]) => pattern.test(name))),
    );
    expect(unexplained).toEqual([]);
  });
});
