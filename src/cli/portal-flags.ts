import { Flags } from '@oclif/core';
import type { PortalKey, PortalValues } from '../core/config/portal-settings.ts';
import { readSecret } from './login-prompt.ts';

/** Flags for every key of the `vpn_server` block. Secrets come from files or from standard input, never from the command line. */
export const portalFlags = {
  url: Flags.string({ description: "address of the portal's host, https://…" }),
  'redirect-url': Flags.string({
    description: 'redirect URL as registered for the client; it is never contacted',
  }),
  'client-id': Flags.string({ description: 'OAuth client registered in the portal' }),
  'client-secret-file': Flags.string({
    description: 'file with the secret of the client (or V6_CLIENT_SECRET_FILE names it)',
    exclusive: ['client-secret-stdin'],
  }),
  'client-secret-stdin': Flags.boolean({
    description: 'read the secret of the client from standard input',
    exclusive: ['portal-password-stdin'],
  }),
  'portal-username': Flags.string({ description: 'account that logs in to the portal' }),
  'portal-password-file': Flags.string({
    description: 'file with the password of that account (or V6_PORTAL_PASSWORD_FILE names it)',
    exclusive: ['portal-password-stdin'],
  }),
  'portal-password-stdin': Flags.boolean({
    description: 'read the password of that account from standard input',
  }),
  profile: Flags.string({
    description: 'profile to use, where the account sees several; an empty one takes it out',
  }),
};

export interface PortalFlagValues {
  readonly url?: string | undefined;
  readonly 'redirect-url'?: string | undefined;
  readonly 'client-id'?: string | undefined;
  readonly 'client-secret-file'?: string | undefined;
  readonly 'client-secret-stdin': boolean;
  readonly 'portal-username'?: string | undefined;
  readonly 'portal-password-file'?: string | undefined;
  readonly 'portal-password-stdin': boolean;
  readonly profile?: string | undefined;
}

/** What the flags, and the files that `env` names, say about the portal, by key. Throws V6_USAGE when a secret cannot be read. */
export async function portalValuesFromFlags(
  flags: PortalFlagValues,
  env: NodeJS.ProcessEnv,
): Promise<PortalValues> {
  const values: Record<PortalKey, string | undefined> = {
    url: flags.url,
    redirect_url: flags['redirect-url'],
    client_id: flags['client-id'],
    client_secret: await readSecret({
      name: 'client-secret',
      file: flags['client-secret-file'],
      stdin: flags['client-secret-stdin'],
      variable: { name: 'V6_CLIENT_SECRET_FILE', value: env.V6_CLIENT_SECRET_FILE },
    }),
    portal_username: flags['portal-username'],
    portal_userpass: await readSecret({
      name: 'portal-password',
      file: flags['portal-password-file'],
      stdin: flags['portal-password-stdin'],
      variable: { name: 'V6_PORTAL_PASSWORD_FILE', value: env.V6_PORTAL_PASSWORD_FILE },
    }),
    profile: flags.profile,
  };
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}
