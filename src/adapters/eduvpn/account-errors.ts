import type { PortalSettings } from '../../core/config/portal-settings.ts';
import { V6Error } from '../../core/errors.ts';

/** V6_PORTAL_ACCOUNT: the login form came back. */
export function wrongAccount(settings: PortalSettings, root: string): V6Error {
  return new V6Error(
    'V6_PORTAL_ACCOUNT',
    `The VPN portal ${root} does not accept the password of user ${JSON.stringify(settings.username)}`,
    {
      hints: [
        'Correct portal_username and portal_userpass in vpn_server: v6 server vpn configure',
        `Check that this account can log in with a browser: ${root}/`,
      ],
      details: { keys: ['portal_username', 'portal_userpass'], user: settings.username },
    },
  );
}

/** V6_PORTAL_CLIENT: the portal does not know the client. */
export function wrongClient(settings: PortalSettings, reason: string): V6Error {
  return new V6Error(
    'V6_PORTAL_CLIENT',
    `The VPN portal does not know the client ${JSON.stringify(settings.clientId)}: ${reason}`,
    {
      hints: [
        'Correct client_id in vpn_server, or register the client in the portal (oauth_client_db.json).',
        `If the client is registered: redirect_url must be one of its redirect_uris, letter for letter (now ${settings.redirectUrl}).`,
      ],
      details: { keys: ['client_id'], clientId: settings.clientId },
    },
  );
}

/** V6_PORTAL_REDIRECT: the client is known, its redirect URL is another. */
export function wrongRedirect(settings: PortalSettings, reason: string): V6Error {
  return new V6Error(
    'V6_PORTAL_REDIRECT',
    `redirect_url ${settings.redirectUrl} is not registered for the client ${JSON.stringify(settings.clientId)}: ${reason}`,
    {
      hints: [
        "Make redirect_url in vpn_server equal to one of the client's redirect_uris in the portal, letter for letter.",
      ],
      details: { keys: ['redirect_url'], redirectUrl: settings.redirectUrl },
    },
  );
}

/** V6_PORTAL_APPROVAL: the portal shows a page with a button. */
export function approvalNeeded(settings: PortalSettings): V6Error {
  return new V6Error(
    'V6_PORTAL_APPROVAL',
    `The VPN portal asks a person to approve the client ${JSON.stringify(settings.clientId)}`,
    {
      hints: [
        'Register the client with "requires_approval": false in the portal (oauth_client_db.json): a server cannot press the button.',
      ],
      details: { keys: ['client_id'], clientId: settings.clientId },
    },
  );
}

/** V6_PORTAL_ACCOUNT: password accepted, account not. */
export function accountDisabled(settings: PortalSettings, reason: string): V6Error {
  return new V6Error(
    'V6_PORTAL_ACCOUNT',
    `The VPN portal refuses user ${JSON.stringify(settings.username)}: ${reason}`,
    {
      hints: ['Enable the account in the portal, or put another one into portal_username.'],
      details: { keys: ['portal_username'], user: settings.username },
    },
  );
}
