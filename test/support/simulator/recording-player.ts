import type { RecordedExchange } from '../portal-replay.ts';
import type { PortalSimulator } from '../portal-simulator.ts';
import { SIMULATED } from '../portal-simulator.ts';
import { challengeOf } from './state.ts';

/** What is done to the portal around one exchange. */
export interface Around {
  /** Before the request is put together. */
  readonly before?: (portal: PortalSimulator) => void;
  /** When tokens and codes that the request needs have been fetched, right before it is sent. */
  readonly between?: (portal: PortalSimulator) => void;
  /** Replaced in the request's text first. */
  readonly replace?: readonly [string, (portal: PortalSimulator) => string];
}

const HOSTS = /https:\/\/(vpn|legacy)\.example\.test/g;
const ENCODED_HOSTS = /https%3A%2F%2F(vpn|legacy)\.example\.test/g;
const PLACEHOLDER = /<([A-Z][A-Z_]*_(\d+))>/g;

/**
 * Sends recorded requests to a simulated portal, one after the other, with this run's tokens and session ids in place of the
 * recorded ones. What a recording takes for granted (a token from an earlier file) is fetched first.
 */
export class RecordingPlayer {
  readonly #portal: PortalSimulator;
  readonly #isV3: boolean;
  readonly #known = new Map<string, string>();

  constructor(portal: PortalSimulator, generation: 'v3' | 'v2') {
    this.#portal = portal;
    this.#isV3 = generation === 'v3';
  }

  /** In what the answer differs from the recorded one. */
  async play(exchange: RecordedExchange, around: Around = {}): Promise<readonly string[]> {
    around.before?.(this.#portal);
    const { method, path, headers, body } = exchange.request;
    const [from, to] = around.replace ?? ['', () => ''];
    const fill = (text: string): Promise<string> =>
      this.#fill(from === '' ? text : text.replaceAll(from, to(this.#portal)), `${path} ${body}`);
    const filled: Record<string, string> = {};
    for (const [name, value] of Object.entries(headers))
      if (!LIBRARY.includes(name.toLowerCase())) filled[name] = await fill(value);
    const target = await fill(path);
    const sent = body === null ? undefined : await fill(body);
    around.between?.(this.#portal);
    const answer = await fetch(`${this.#portal.url}${target}`, {
      method,
      headers: filled,
      redirect: 'manual',
      ...(sent === undefined || method === 'GET' ? {} : { body: sent }),
    });
    return this.#compare(exchange.response, answer);
  }

  async #fill(text: string, request: string): Promise<string> {
    const { url } = this.#portal;
    const { clientId, clientSecret, username, password } = SIMULATED;
    const base64 = (plain: string): string => Buffer.from(plain).toString('base64');
    let filled = text
      .replaceAll(HOSTS, url)
      .replaceAll(ENCODED_HOSTS, encodeURIComponent(url))
      .replaceAll('<BASE64 of client_id:client_secret>', base64(`${clientId}:${clientSecret}`))
      .replaceAll('<BASE64 of some-client.vantage6.ai:bad>', base64(`${clientId}:bad`))
      .replaceAll('<BASE64 of nodes:<PORTAL_PASSWORD>>', base64(`${username}:${password}`))
      .replaceAll('<PORTAL_PASSWORD>', password)
      .replaceAll('<CLIENT_SECRET>', clientSecret)
      .replaceAll('<TOKEN_WITH_BAD_SIGNATURE>', 'made.up.token');
    for (const [whole, name = '', number = ''] of filled.matchAll(PLACEHOLDER)) {
      if (!this.#known.has(name)) await this.#fetch(name, number, request);
      filled = filled.replaceAll(whole, this.#known.get(name) ?? whole);
    }
    return filled;
  }

  async #fetch(name: string, number: string, request: string): Promise<void> {
    if (name.startsWith('CODE_')) {
      const verifier = `verifier-${number.padStart(3, '0')}-`.padEnd(43, 'x');
      this.#known.set(`CODE_VERIFIER_${number}`, verifier);
      this.#known.set(`CODE_CHALLENGE_${number}`, challengeOf(verifier));
    } else if (name.startsWith('STATE_')) this.#known.set(name, 'some_state');
    else if (name.startsWith('SESSION_ID_')) this.#known.set(name, await this.#logIn());
    else if (name.startsWith('AUTHORIZATION_CODE_'))
      this.#known.set(name, await this.#authorize(request));
    else await this.#getTokens(number);
  }

  async #logIn(): Promise<string> {
    const { url } = this.#portal;
    const path = this.#isV3 ? '_user_pass_auth/verify' : '_form/auth/verify';
    const field = this.#isV3 ? '_user_pass_auth_redirect_to' : '_form_auth_redirect_to';
    const answer = await fetch(`${url}/vpn-user-portal/${path}`, {
      method: 'POST',
      headers: { referer: `${url}/` },
      body: new URLSearchParams({
        userName: SIMULATED.username,
        userPass: SIMULATED.password,
        [field]: `${url}/vpn-user-portal/home`,
      }),
      redirect: 'manual',
    });
    return /SID=([^;]*)/.exec(answer.headers.getSetCookie().at(-1) ?? '')?.[1] ?? '';
  }

  async #authorize(request: string): Promise<string> {
    const verifier = /<CODE_VERIFIER_(\d+)>/.exec(request)?.[1] ?? '0';
    await this.#fetch(`CODE_VERIFIER_${verifier}`, verifier, request);
    const asked = /client_id=([\w.-]+)/.exec(request)?.[1] ?? SIMULATED.clientId;
    const query = new URLSearchParams({
      response_type: 'code',
      client_id: asked === 'nope' ? SIMULATED.clientId : asked,
      redirect_uri: 'http://localhost',
      scope: 'config',
      state: 'x',
      code_challenge_method: 'S256',
      code_challenge: this.#known.get(`CODE_CHALLENGE_${verifier}`) ?? '',
    });
    const path = this.#isV3 ? 'oauth/authorize' : '_oauth/authorize';
    const answer = await fetch(`${this.#portal.url}/vpn-user-portal/${path}?${query}`, {
      headers: { cookie: `SID=${await this.#logIn()}` },
      redirect: 'manual',
    });
    const location = new URL(answer.headers.get('location') ?? 'error:none');
    return location.searchParams.get('code') ?? '';
  }

  async #getTokens(number: string): Promise<void> {
    const code = await this.#authorize('<CODE_VERIFIER_0>');
    const { clientId, clientSecret } = SIMULATED;
    const path = this.#isV3 ? 'oauth/token' : 'oauth.php/token';
    const answer = await fetch(`${this.#portal.url}/vpn-user-portal/${path}`, {
      method: 'POST',
      headers: {
        authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`,
      },
      body: new URLSearchParams({
        grant_type: 'authorization_code',
        code,
        client_id: clientId,
        redirect_uri: 'http://localhost',
        code_verifier: this.#known.get('CODE_VERIFIER_0') ?? '',
      }),
    });
    const body = (await answer.json()) as { access_token: string; refresh_token: string };
    this.#known.set(`ACCESS_TOKEN_${number}`, body.access_token);
    this.#known.set(`REFRESH_TOKEN_${number}`, body.refresh_token);
  }

  async #compare(
    recorded: RecordedExchange['response'],
    answer: Response,
  ): Promise<readonly string[]> {
    const differences: string[] = [];
    const differ = (what: string, ours: string, theirs: string): void => {
      if (!this.#matches(ours, theirs)) differences.push(`${what}: ${ours} instead of ${theirs}`);
    };
    differ('status', String(answer.status), String(recorded.status));
    const headers = new Map(
      Object.entries(recorded.headers).map(([name, value]) => [name.toLowerCase(), value]),
    );
    for (const name of COMPARED) {
      const theirs = headers.get(name) ?? '';
      differ(name, answer.headers.get(name) ?? '', theirs);
    }
    const cookies = (headers.get('set-cookie') ?? '').split(/\n|, (?=SID=)/);
    differ('set-cookie', answer.headers.getSetCookie().join('\n'), cookies.join('\n'));
    if (answer.headers.has('expires') !== headers.has('expires')) differences.push('expires');
    const text = await answer.text();
    const type = recorded.headers['Content-Type'] ?? '';
    differ('body', shapeOf(type, text), shapeOf(type, recorded.body));
    return differences;
  }

  /** Whether a text is the recorded one; what stands for a placeholder the first time is remembered. */
  #matches(ours: string, theirs: string): boolean {
    const { url } = this.#portal;
    const expected = theirs
      .replaceAll(HOSTS, url)
      .replaceAll(ENCODED_HOSTS, encodeURIComponent(url));
    const names: string[] = [];
    const pattern = expected
      .split(/(<[A-Z][A-Z_]*_\d+>)/)
      .map((part, at) => {
        if (at % 2 === 0) return part.replaceAll(/[.*+?^${}()|[\]\\/]/g, String.raw`\$&`);
        const name = part.slice(1, -1);
        const known = this.#known.get(name);
        if (known !== undefined && !name.startsWith('ACCESS') && !name.startsWith('SESSION'))
          return known.replaceAll(/[.+?]/g, String.raw`\$&`);
        names.push(name);
        return '([^&";\\s]+)';
      })
      .join('');
    const found = new RegExp(`^${pattern}$`).exec(ours);
    if (found === null) return false;
    for (const [at, name] of names.entries()) this.#known.set(name, found[at + 1] ?? '');
    return true;
  }
}

const COMPARED = [
  'content-type',
  'cache-control',
  'pragma',
  'www-authenticate',
  'allow',
  'location',
] as const;
const LIBRARY = ['host', 'content-length', 'connection', 'accept-encoding'];

/** What counts of a body: JSON and client files whole, of a page its title, its error, its forms. */
function shapeOf(type: string, body: string): string {
  if (type === 'application/x-openvpn-profile' || type === 'application/x-wireguard-profile')
    return body
      .replaceAll(/-----BEGIN ([A-Za-z0-9 ]+)-----[\s\S]*?-----END \1-----/g, '($1)')
      .replaceAll(/\r?\n/g, body.includes('\r\n') ? '(CRLF)\n' : '\n')
      .replaceAll(/^#? ?(Expires: |#$|# 2048).*$/gm, '')
      .replaceAll(/^# (Expires|Portal): .*$/gm, '')
      .replaceAll(/^#.*$\n/gm, '')
      .replaceAll(/(vpn|legacy)\.example\.test|127\.0\.0\.1/g, 'HOST')
      .replaceAll(/<(ca|cert|key|tls-crypt)>[\s\S]*?<\/\1>/g, '[$1]')
      .replaceAll(/\n{2,}/g, '\n');
  if (type.startsWith('application/json'))
    return JSON.stringify(sorted(JSON.parse(body))).replaceAll(
      /-----BEGIN ([A-Z ]+)-----.*?-----END \1-----/g,
      '($1)',
    );
  const title = /<title>(.*)<\/title>/.exec(body)?.[1] ?? '';
  const error = /class="error">([\s\S]*?)<\/p>/.exec(body)?.[1]?.replaceAll(/\s+/g, ' ') ?? '';
  const forms = title.includes('Home') ? [] : body.match(/<(form|input|button)\b[^>]*>/g);
  const visible = (forms ?? []).filter((tag) => !tag.includes('hidden')).join(' ');
  return `${title} | ${error} | ${visible}`;
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).toSorted(([a], [b]) => a.localeCompare(b));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
}
