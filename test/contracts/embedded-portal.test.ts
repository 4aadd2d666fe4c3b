import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  CLIENT_SECRET,
  makePortalWorld,
  PORTAL_PASSWORD,
  type PortalWorld,
} from '../fakes/portal-world.ts';
import type { RecordedExchange } from '../support/portal-replay.ts';

// What clients asked a real eduVPN portal 3.4.1 is asked of ours, and the answers are compared: status, media type, the
// headers that clients read, where a redirect leads, the error word, and in a page what a client takes from it.

const FOLDER = path.join(import.meta.dirname, '../fixtures/eduvpn-v3');

/** Where ours differs on purpose: the start of the step's text, and the status that ours has. */
const DEVIATIONS: Readonly<Record<string, { readonly status: number; readonly why: string }>> = {
  'only authRedirectTo given': { status: 302, why: 'newer portals have that name; both are taken' },
  'confidential client, secret in the body': {
    status: 200,
    why: 'vantage6 4.6 and later send it so',
  },
  'confidential client, Basic only, no client_id': {
    status: 200,
    why: 'vantage6 4.6 and later send it so',
  },
};

/** Steps about what we do not have: clients that need approval, the account page, two clients at once. */
const ABSENT = [
  'GET authorize, client that requires approval',
  'POST authorize approve=yes',
  'POST authorize approve=no',
  'Basic user differs from client_id',
  'portal page: user revokes',
  'access token after revocation',
  'refresh token after revocation',
];

function read(file: string): readonly RecordedExchange[] {
  return JSON.parse(readFileSync(path.join(FOLDER, `${file}.json`), 'utf8')) as RecordedExchange[];
}

const basic = (text: string): string => Buffer.from(text).toString('base64');

/** Values of one file's placeholders: chosen by the client, or learnt from our answers. */
class Values {
  readonly #known = new Map<string, string>();
  readonly #world: PortalWorld;

  constructor(world: PortalWorld) {
    this.#world = world;
    const { client } = world.settings;
    this.#known.set('<PORTAL_PASSWORD>', PORTAL_PASSWORD);
    this.#known.set('<CLIENT_SECRET>', CLIENT_SECRET);
    this.#known.set('<BASE64 of client_id:client_secret>', basic(`${client.id}:${CLIENT_SECRET}`));
    this.#known.set(`<BASE64 of ${client.id}:bad>`, basic(`${client.id}:bad`));
    this.#known.set('<BASE64 of nodes:<PORTAL_PASSWORD>>', basic(`nodes:${PORTAL_PASSWORD}`));
    this.#known.set('<TOKEN_WITH_BAD_SIGNATURE>', 'no.token.of-ours');
  }

  /** Fills a recorded request in; what an earlier file had made is made here. */
  async fill(text: string): Promise<string> {
    let out = text;
    for (const [name, value] of this.#known) out = out.replaceAll(name, value);
    for (const [name] of text.matchAll(/<[A-Z_]+\d*>/g)) {
      if (!this.#known.has(name)) await this.#make(name, text);
      out = out.replaceAll(name, this.#known.get(name) ?? name);
    }
    return out;
  }

  /** Keeps what our answer holds in the place of a placeholder. */
  learn(recorded: string, ours: string): void {
    const names = [...recorded.matchAll(/<[A-Z_]+\d*>/g)].map(([name]) => name);
    const pattern = recorded
      .split(/<[A-Z_]+\d*>/)
      .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('([^;&"]+)');
    const match = new RegExp(pattern).exec(ours);
    names.forEach((name, index) => {
      const value = match?.[index + 1];
      if (value !== undefined) this.#known.set(name, value);
    });
  }

  async #make(name: string, text: string): Promise<void> {
    const number = name.replace(/\D/g, '');
    if (name.startsWith('<CODE_')) return this.#makePkce(number);
    if (name.startsWith('<STATE')) this.#known.set(name, 'a-state');
    if (name.startsWith('<SESSION_ID')) this.#known.set(name, await this.#session());
    if (name.startsWith('<AUTHORIZATION_CODE')) {
      const verifier = /<CODE_VERIFIER_(\d+)>/.exec(text)?.[1] ?? number;
      if (!this.#known.has(`<CODE_CHALLENGE_${verifier}>`)) this.#makePkce(verifier);
      const challenge = this.#known.get(`<CODE_CHALLENGE_${verifier}>`) ?? '';
      this.#known.set(
        name,
        this.#world.authorizations.grantCode({
          user: 'nodes',
          redirectUri: 'http://localhost',
          challenge,
        }),
      );
    }
    if (name.startsWith('<ACCESS_TOKEN') || name.startsWith('<REFRESH_TOKEN')) {
      const { accessToken, refreshToken } = await this.#world.logIn();
      this.#known.set(`<ACCESS_TOKEN_${number}>`, accessToken);
      this.#known.set(`<REFRESH_TOKEN_${number}>`, refreshToken);
    }
  }

  #makePkce(number: string): void {
    const verifier = randomBytes(48).toString('base64url');
    this.#known.set(`<CODE_VERIFIER_${number}>`, verifier);
    this.#known.set(
      `<CODE_CHALLENGE_${number}>`,
      createHash('sha256').update(verifier).digest('base64url'),
    );
  }

  async #session(): Promise<string> {
    const answer = await this.#world.app.inject({
      method: 'POST',
      url: '/vpn-user-portal/_user_pass_auth/verify',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        referer: 'https://vpn.example.test/',
      },
      payload: `userName=nodes&userPass=${PORTAL_PASSWORD}&authRedirectTo=https://vpn.example.test/vpn-user-portal/home`,
    });
    return /SID=([0-9a-f]+)/.exec(String(answer.headers['set-cookie']))?.[1] ?? '';
  }
}

async function replay(world: PortalWorld, values: Values, { request, response }: RecordedExchange) {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.headers)) {
    if (!/^(content-length|accept-encoding)$/i.test(name)) headers[name] = await values.fill(value);
  }
  const answer = await world.app.inject({
    method: request.method as 'GET',
    url: await values.fill(request.path),
    headers,
    ...(request.body === null ? {} : { payload: await values.fill(request.body) }),
  });
  values.learn(response.headers.Location ?? '', answer.headers.location ?? '');
  values.learn(response.headers['Set-Cookie'] ?? '', String(answer.headers['set-cookie'] ?? ''));
  if (response.headers['Content-Type'] === 'application/json') {
    values.learn(response.body, answer.body);
  }
  return answer;
}

const FILES = [
  { file: '01-discovery' },
  { file: '02-login-authorize' },
  { file: '03-login-errors' },
  { file: '04-authorize-errors' },
  { file: '05-token' },
  { file: '06-refresh' },
  { file: '07-info' },
  { file: '08-connect' },
  { file: '09-disconnect' },
  { file: '10-bearer-errors' },
  { file: '20-client-vantage6-4.14-public' },
  { file: '22-client-vantage6-4.14-wrong-password' },
];

describe.each(FILES)('recorded requests of $file', ({ file }) => {
  const exchanges = read(file).filter(
    ({ step }) => !ABSENT.some((absent) => step.startsWith(absent)),
  );
  const isPublic = file.startsWith('2');
  let world: PortalWorld;
  let values: Values;
  // In file 05 two kinds of clients take turns.
  let publicWorld: PortalWorld;
  let publicValues: Values;

  beforeAll(() => {
    publicWorld = makePortalWorld({ clientId: 'public-client', isPublic: true });
    publicValues = new Values(publicWorld);
    world = isPublic ? publicWorld : makePortalWorld();
    values = isPublic ? publicValues : new Values(world);
  });
  afterAll(async () => {
    await world.app.close();
    await publicWorld.app.close();
  });

  it.each(exchanges.map((exchange) => [exchange.step, exchange] as const))(
    'are answered like eduVPN answers: %s',
    async (step, exchange) => {
      const isOther = exchange.request.body?.includes('client_id=public-client') ?? false;
      const answer = await replay(
        isOther ? publicWorld : world,
        isOther ? publicValues : values,
        exchange,
      );
      const deviation = Object.entries(DEVIATIONS).find(([start]) => step.startsWith(start))?.[1];
      const recorded = exchange.response;
      expect(answer.statusCode, deviation?.why).toBe(deviation?.status ?? recorded.status);
      if (deviation !== undefined) return;
      expectSameHeaders(recorded, answer.headers);
      expectSameBody(recorded, answer.body);
    },
  );
});

type Recorded = RecordedExchange['response'];

const media = (type: string): string => type.split(';')[0]?.toLowerCase() ?? '';
const error = (body: object | undefined): unknown => (body as { error?: unknown }).error;

function shape(location: string): unknown {
  const url = new URL(location.replaceAll(/<[A-Z_0-9]+>/g, 'x'));
  return [url.origin, url.pathname, [...url.searchParams.keys()].toSorted()];
}

function expectSameHeaders(
  recorded: Recorded,
  ours: Readonly<Record<string, string | string[] | number | undefined>>,
): void {
  const text = (name: string): string => String(ours[name.toLowerCase()] ?? '');
  if (recorded.status !== 204) {
    expect(media(text('content-type'))).toBe(media(recorded.headers['Content-Type'] ?? ''));
  }
  for (const name of ['Allow', 'WWW-Authenticate']) {
    expect(text(name)).toBe(recorded.headers[name] ?? '');
  }
  if (recorded.headers.Location !== undefined) {
    expect(shape(text('Location'))).toEqual(shape(recorded.headers.Location));
  }
  if (recorded.headers['Set-Cookie'] !== undefined) {
    expect(text('Set-Cookie').replace(/[0-9a-f]{64}/, 'X')).toBe(
      recorded.headers['Set-Cookie'].replace(/<SESSION_ID_\d+>/, 'X'),
    );
  }
  if (recorded.headers.Expires !== undefined) {
    expect(Date.parse(text('Expires'))).toBeGreaterThan(0);
  }
}

function expectSameBody(recorded: Recorded, ours: string): void {
  const type = recorded.headers['Content-Type'] ?? '';
  if (type.startsWith('application/json')) {
    const [wanted, got] = [recorded.body, ours].map((text) => JSON.parse(text) as object);
    // `v6` in the discovery document is ours; clients of eduVPN leave unknown keys alone.
    const keys = Object.keys(got ?? {}).filter((key) => key !== 'v6');
    expect(keys.toSorted()).toEqual(Object.keys(wanted ?? {}).toSorted());
    expect(error(got)).toEqual(error(wanted));
  } else if (type.startsWith('application/x-openvpn-profile')) {
    expect(optionsOf(ours)).toEqual(optionsOf(recorded.body));
  } else if (recorded.body.includes('<form class="frm" method="post"')) {
    // A client that reads the page finds the same form.
    expect(formOf(ours)).toEqual(formOf(recorded.body));
  }
}

/** Lines of a client config without the contents of its keys and the dates of its comments. */
function optionsOf(text: string): readonly string[] {
  return text
    .replaceAll(/<(ca|cert|key|tls-crypt)>[\s\S]*?<\/\1>/g, '<$1>')
    .replace(/# Expires: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00/, '# Expires: date')
    .split('\n');
}

function formOf(page: string): unknown {
  const action = /action="([^"]*_user_pass_auth[^"]*)"/.exec(page)?.[1];
  const names = [...page.matchAll(/<input[^>]* name="([^"]+)"/g)].map(([, name]) => name);
  return { action, names, hasError: page.includes('class="error"') };
}
