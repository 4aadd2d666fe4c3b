import { createHash, randomBytes } from 'node:crypto';

/** What a client of a portal needs to know. */
export interface PortalAccount {
  readonly url: string;
  readonly username: string;
  readonly password: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly redirectUri: string;
}

export interface PortalLogin {
  readonly accessToken: string;
  readonly refreshToken: string;
}

function form(
  fields: Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>>,
): RequestInit {
  return {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body: new URLSearchParams(fields).toString(),
    redirect: 'manual',
  };
}

/** Login form, authorize with PKCE, token: written for tests, on its own, so that it proves what the portal says. */
export async function logIn(account: PortalAccount): Promise<PortalLogin> {
  const { code, verifier } = await authorize(account);
  const answer = await token(account, {
    grant_type: 'authorization_code',
    code,
    redirect_uri: account.redirectUri,
    code_verifier: verifier,
  });
  const body = (await answer.json()) as { access_token: string; refresh_token: string };
  if (answer.status !== 200) throw new Error(`token endpoint: ${answer.status}`);
  return { accessToken: body.access_token, refreshToken: body.refresh_token };
}

/** The code that a login leads to. */
export async function authorize(
  account: PortalAccount,
): Promise<{ readonly code: string; readonly verifier: string; readonly location: URL }> {
  const verifier = randomBytes(48).toString('base64url');
  const target = new URL(`${account.url}/vpn-user-portal/oauth/authorize`);
  target.search = new URLSearchParams({
    client_id: account.clientId,
    redirect_uri: account.redirectUri,
    response_type: 'code',
    scope: 'config',
    state: 'some-state',
    code_challenge_method: 'S256',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
  }).toString();
  const login = await postLogin(account, target.href);
  if (login.status !== 302) throw new Error(`login form: ${login.status}`);
  const cookie = cookieOf(login);
  const answer = await fetch(target, { headers: { cookie }, redirect: 'manual' });
  const location = new URL(answer.headers.get('location') ?? 'error:none');
  return { code: location.searchParams.get('code') ?? '', verifier, location };
}

export function postLogin(account: PortalAccount, redirectTo: string): Promise<Response> {
  const fields = {
    userName: account.username,
    userPass: account.password,
    _user_pass_auth_redirect_to: redirectTo,
    authRedirectTo: redirectTo,
  };
  return fetch(
    `${account.url}/vpn-user-portal/_user_pass_auth/verify`,
    form(fields, { referer: `${account.url}/vpn-user-portal/home` }),
  );
}

/** `SID=…` of an answer. */
export function cookieOf(answer: Response): string {
  return answer.headers.get('set-cookie')?.split(';')[0] ?? '';
}

/** The token endpoint with Basic and `client_id`. */
export function token(
  account: PortalAccount,
  fields: Readonly<Record<string, string>>,
): Promise<Response> {
  const basic = Buffer.from(`${account.clientId}:${account.clientSecret}`).toString('base64');
  return fetch(
    `${account.url}/vpn-user-portal/oauth/token`,
    form({ client_id: account.clientId, ...fields }, { authorization: `Basic ${basic}` }),
  );
}

/** A call of the API with a bearer token. */
export function api(
  url: string,
  login: Pick<PortalLogin, 'accessToken'>,
  call: 'info' | 'connect' | 'disconnect',
  fields?: Readonly<Record<string, string>>,
): Promise<Response> {
  const headers = { authorization: `Bearer ${login.accessToken}` };
  return fetch(
    `${url}/vpn-user-portal/api/v3/${call}`,
    call === 'info' ? { headers } : form(fields ?? {}, headers),
  );
}
