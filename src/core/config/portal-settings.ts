/** The `vpn_server` block of the server's configuration: upstream's six keys, and our optional `profile` and `max_configurations`. */
export interface PortalSettings {
  /** Root of the portal's host, below which discovery lies, e.g. `https://vpn.example.org`. */
  readonly url: string;
  readonly redirectUrl: string;
  readonly clientId: string;
  /** Empty for a public client. */
  readonly clientSecret: string;
  readonly username: string;
  readonly password: string;
  /** Which profile to use where the account sees several. */
  readonly profile?: string;
  /** How many configurations at once the portal lets the account have; 0: any number. Absent: found out. */
  readonly maxConfigurations?: number;
}

/** Keys of the block as upstream spells them, in the order in which we write them; `profile` is ours. */
export const PORTAL_KEYS = [
  'url',
  'redirect_url',
  'client_id',
  'client_secret',
  'portal_username',
  'portal_userpass',
  'profile',
] as const;

export type PortalKey = (typeof PORTAL_KEYS)[number];

/** Values of the block by key, as text; what is not there is not set. */
export type PortalValues = Readonly<Partial<Record<PortalKey, string>>>;

const OPTIONAL: readonly PortalKey[] = ['client_secret', 'profile'];

/** Whether the block may leave the key out: a public client has no secret, one profile needs no name. */
export function isOptionalPortalKey(key: PortalKey): boolean {
  return OPTIONAL.includes(key);
}

/** Why `value` is not good for `key`, as the end of a sentence that starts with the key; undefined when it is good. Never quotes a secret. */
export function portalValueProblem(key: PortalKey, value: string | undefined): string | undefined {
  if (value === undefined || value === '') {
    return isOptionalPortalKey(key) ? undefined : 'is missing';
  }
  if (/[\r\n\0]/.test(value)) return 'must be one line';
  switch (key) {
    case 'url':
      return urlProblem(value);
    case 'redirect_url':
      return urlProblem(value);
    case 'client_id':
      // The colon separates id and secret in HTTP Basic (RFC 7617 section 2); the rest is RFC 6749 appendix A.1.
      return /^[\x20-\x39\x3b-\x7e]+$/.test(value)
        ? undefined
        : `must be printable ASCII without a colon, not ${JSON.stringify(value)}`;
    case 'client_secret':
    case 'portal_userpass':
      return undefined;
    case 'portal_username':
      return value.length <= 255
        ? undefined
        : `is ${value.length} characters long, 255 are the limit`;
    case 'profile':
      return /^[A-Za-z0-9.-]+$/.test(value)
        ? undefined
        : `must be letters, digits, dash and dot, not ${JSON.stringify(value)}`;
  }
}

/** The settings, or every problem found, each a sentence that starts with its key. */
export function parsePortalValues(
  values: PortalValues,
): { readonly settings: PortalSettings } | { readonly problems: readonly string[] } {
  const problems = PORTAL_KEYS.flatMap((key) => {
    const problem = portalValueProblem(key, values[key]);
    return problem === undefined ? [] : [`${key} ${problem}`];
  });
  if (problems.length > 0) return { problems };
  const { url = '', redirect_url = '', client_id = '', client_secret = '' } = values;
  const { portal_username = '', portal_userpass = '', profile = '' } = values;
  return {
    settings: {
      url,
      redirectUrl: redirect_url,
      clientId: client_id,
      clientSecret: client_secret,
      username: portal_username,
      password: portal_userpass,
      ...(profile === '' ? {} : { profile }),
    },
  };
}

/** The settings by key, as the block holds them. Empty ones are left out. */
export function toPortalValues(settings: PortalSettings): PortalValues {
  const values: PortalValues = {
    url: settings.url,
    redirect_url: settings.redirectUrl,
    client_id: settings.clientId,
    client_secret: settings.clientSecret,
    portal_username: settings.username,
    portal_userpass: settings.password,
    profile: settings.profile ?? '',
  };
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ''));
}

function urlProblem(value: string): string | undefined {
  if (!URL.canParse(value))
    return `must be an address such as https://vpn.example.org, not ${show(value)}`;
  const { protocol, username, password, hash } = new URL(value);
  if (protocol !== 'https:' && protocol !== 'http:')
    return `must start with https://, not ${protocol}`;
  if (username !== '' || password !== '') return 'must not hold a user name or password';
  if (hash !== '') return `must not end in a fragment (${hash})`;
  return undefined;
}

// A value that was put under the wrong key may be a secret: only what looks like an address is quoted.
function show(value: string): string {
  return /^[\w.:/-]+\.[\w./-]+$/.test(value) ? JSON.stringify(value) : 'what is there';
}
