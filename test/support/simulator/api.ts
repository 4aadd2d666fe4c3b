import { randomBytes } from 'node:crypto';
import {
  type CertificateMaker,
  type KeyedCertificate,
} from '../../../src/portal/interfaces/certificates.ts';
import { json, type SimulatedAnswer, type SimulatedRequest } from './exchange.ts';
import type { Authorization, PortalState, SimulatedProfile } from './state.ts';
import {
  clientFileOf24,
  clientFileV3,
  type Generation,
  profileFileV2,
  wireGuardFile,
} from './texts.ts';

export interface ApiDeps {
  readonly state: PortalState;
  readonly generation: Generation;
  readonly origin: string;
  readonly maker: Pick<CertificateMaker, 'makeClient'>;
  readonly authority: KeyedCertificate;
  readonly staticKey: string;
}

const OPENVPN = 'application/x-openvpn-profile';
const WIREGUARD = 'application/x-wireguard-profile';
/** eduVPN dates certificates back, for clocks that are slow. */
const DATED_BACK_MS = 5 * 60_000;

type Call = (
  deps: ApiDeps,
  request: SimulatedRequest,
  authorization: Authorization,
) => SimulatedAnswer | Promise<SimulatedAnswer>;

const V3: Readonly<Record<string, readonly ['GET' | 'POST', Call]>> = {
  '/v3/info': ['GET', info],
  '/v3/connect': ['POST', connect],
  '/v3/disconnect': ['POST', disconnect],
};

const V2: Readonly<Record<string, readonly ['GET' | 'POST', Call]>> = {
  ...V3,
  '/profile_list': ['GET', (deps) => data('profile_list', visible(deps).map(profileV2))],
  '/profile_config': ['GET', profileConfig],
  '/create_keypair': ['POST', createKeypair],
  '/check_certificate': ['GET', checkCertificate],
  '/user_info': ['GET', () => data('user_info', USER_INFO)],
  '/system_messages': ['GET', () => data('system_messages', [])],
  '/user_messages': ['GET', () => data('user_messages', [])],
};

const USER_INFO = {
  user_id: 'nodes',
  two_factor_enrolled: false,
  two_factor_enrolled_with: [],
  two_factor_supported_methods: [],
  is_disabled: false,
};

/** A call of API v3 (`/v3/info` …) or v2; the bearer token has been checked. */
export function answerApi(
  deps: ApiDeps,
  request: SimulatedRequest,
  path: string,
  authorization: Authorization,
): SimulatedAnswer | Promise<SimulatedAnswer> {
  const known = (deps.generation === 'v3' ? V3 : V2)[path];
  if (known === undefined) return json(404, { error: `"${path}" not found` });
  const [method, call] = known;
  if (request.method !== method)
    return json(405, { error: `method "${request.method}" not allowed` }, { Allow: method });
  return call(deps, request, authorization);
}

const visible = ({ state }: ApiDeps): readonly SimulatedProfile[] =>
  state.configuration.profiles.filter(({ isHidden }) => !isHidden);

function info(deps: ApiDeps): SimulatedAnswer {
  const profile_list = visible(deps).map(({ id, displayName, protocols }) => ({
    profile_id: id,
    display_name: displayName,
    vpn_proto_list: protocols,
    default_gateway: id !== 'default',
  }));
  return json(200, { info: { profile_list } });
}

const FIELDS: Readonly<Record<string, RegExp>> = {
  profile_id: /^[A-Za-z0-9.-]+$/,
  public_key: /^[A-Za-z0-9+/]{43}=$/,
  prefer_tcp: /^(yes|no)$/,
  tcp_only: /^(on|off)$/,
};

async function connect(
  deps: ApiDeps,
  request: SimulatedRequest,
  authorization: Authorization,
): Promise<SimulatedAnswer> {
  const { state, generation } = deps;
  const { form } = request;
  if (generation === 'v3') {
    if (state.configuration.maxActiveConfigurations === 0)
      return json(403, { error: 'no API configuration downloads allowed' });
    // Before anything is looked at: a call that fails below has cost the caller its configuration, and maybe another its own.
    state.makeRoom(authorization);
  }
  if (!form.has('profile_id')) return json(400, { error: 'missing post parameter "profile_id"' });
  for (const [name, rule] of Object.entries(FIELDS))
    if (form.has(name) && !rule.test(form.get(name) ?? ''))
      return json(400, { error: `invalid value for "${name}"` });
  const profile = state.profile(form.get('profile_id') ?? '');
  if (profile === undefined) return json(404, { error: 'no such "profile_id"' });
  const protocol = chooseProtocol(profile, request);
  if (protocol === undefined) {
    return json(406, {
      error: 'no common VPN protocol support between client and server profile',
    });
  }
  if (!state.configuration.isNodeUp) {
    return json(500, {
      error: '/connect failed: unable to connect using any of the common supported VPN protocols',
    });
  }
  return issue(deps, { profile, protocol, authorization, form });
}

function chooseProtocol(
  profile: SimulatedProfile,
  { form, headers }: SimulatedRequest,
): 'openvpn' | 'wireguard' | undefined {
  const accept = headers.accept ?? '';
  const names = [OPENVPN, WIREGUARD].filter((type) => accept.includes(type));
  const accepts = (type: string): boolean => names.length === 0 || names.includes(type);
  const offers = (protocol: 'openvpn' | 'wireguard'): boolean =>
    profile.protocols.includes(protocol);
  const canOpenVpn = offers('openvpn') && accepts(OPENVPN);
  const canWireGuard = offers('wireguard') && accepts(WIREGUARD) && form.has('public_key');
  if (canOpenVpn && canWireGuard) {
    const prefersTcp = form.get('prefer_tcp') === 'yes';
    return profile.prefersWireGuard && !prefersTcp ? 'wireguard' : 'openvpn';
  }
  if (canOpenVpn) return 'openvpn';
  return canWireGuard ? 'wireguard' : undefined;
}

async function issue(
  deps: ApiDeps,
  input: {
    readonly profile: SimulatedProfile;
    readonly protocol: 'openvpn' | 'wireguard';
    readonly authorization: Authorization;
    readonly form: ReadonlyMap<string, string>;
  },
): Promise<SimulatedAnswer> {
  const { state, origin, generation } = deps;
  const { profile, authorization, form } = input;
  const commonName = randomBytes(32).toString('base64');
  state.add(authorization, commonName, form.get('v6_node'));
  const pair = await makePair(deps, authorization, { commonName, unit: profile.id });
  const file = {
    host: new URL(origin).hostname,
    portalUrl: `${origin}/vpn-user-portal/`,
    profile,
    expiresAt: authorization.expiresAt,
    authority: deps.authority.certificate,
    staticKey: deps.staticKey,
    ...pair,
  };
  const prefersTcp = form.get('prefer_tcp') === 'yes' || form.get('tcp_only') === 'on';
  const isWireGuard = input.protocol === 'wireguard';
  const openVpn = generation === 'v3' ? clientFileV3(file, prefersTcp) : clientFileOf24(file);
  return {
    status: 200,
    headers: {
      'Content-Type': isWireGuard ? WIREGUARD : OPENVPN,
      Expires: authorization.expiresAt.toUTCString(),
    },
    body: isWireGuard ? wireGuardFile(file) : openVpn,
  };
}

function makePair(
  { maker, authority, state }: ApiDeps,
  { expiresAt }: Authorization,
  name: { readonly commonName: string; readonly unit: string },
): Promise<KeyedCertificate> {
  return maker.makeClient(authority, {
    commonName: name.commonName,
    organizationalUnit: name.unit,
    notBefore: new Date(state.now().getTime() - DATED_BACK_MS),
    notAfter: expiresAt,
  });
}

function disconnect(
  { state, generation }: ApiDeps,
  _request: SimulatedRequest,
  { id }: Authorization,
): SimulatedAnswer {
  // On a 2.4 portal the call does nothing.
  if (generation === 'v3') {
    state.endConfigurations(id);
    if (state.configuration.deleteAuthorizationOnDisconnect) state.endAuthorization(id);
  }
  return { status: 204, headers: { 'Content-Type': 'text/html; charset=UTF-8' }, body: '' };
}

const data = (call: string, value: unknown): SimulatedAnswer =>
  json(200, { [call]: { ok: true, data: value } });
const refusal = (call: string, error: string): SimulatedAnswer =>
  json(200, { [call]: { ok: false, error } });

const profileV2 = ({ id, displayName }: SimulatedProfile) => ({
  profile_id: id,
  display_name: displayName,
  two_factor: false,
  default_gateway: true,
});

function profileConfig(deps: ApiDeps, { url }: SimulatedRequest): SimulatedAnswer {
  const id = url.searchParams.get('profile_id');
  if (id === null) return json(400, { error: 'missing query parameter "profile_id"' });
  if (!/^[A-Za-z0-9.-]+$/.test(id)) return refusal('profile_config', 'invalid "profile_id"');
  if (deps.state.profile(id) === undefined)
    return refusal('profile_config', 'profile not available or no permission');
  const { staticKey, authority } = deps;
  const file = {
    host: new URL(deps.origin).hostname,
    authority: authority.certificate,
    staticKey,
  };
  const withAllPorts = url.searchParams.get('remote_strategy') === '2';
  return {
    status: 200,
    headers: { 'Content-Type': OPENVPN },
    body: profileFileV2(file, withAllPorts),
  };
}

async function createKeypair(
  deps: ApiDeps,
  _request: SimulatedRequest,
  authorization: Authorization,
): Promise<SimulatedAnswer> {
  const commonName = randomBytes(16).toString('hex');
  deps.state.add(authorization, commonName, undefined);
  const { certificate, privateKey } = await makePair(deps, authorization, {
    commonName,
    unit: 'v2',
  });
  return data('create_keypair', { certificate, private_key: privateKey });
}

function checkCertificate({ state }: ApiDeps, { url }: SimulatedRequest): SimulatedAnswer {
  const commonName = url.searchParams.get('common_name') ?? '';
  if (!/^[0-9a-f]{32}$/.test(commonName)) return json(400, { error: 'invalid "common_name"' });
  const isKnown = state.configurations.some((held) => held.commonName === commonName);
  return data(
    'check_certificate',
    isKnown ? { is_valid: true } : { is_valid: false, reason: 'certificate_missing' },
  );
}
