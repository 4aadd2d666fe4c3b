/** The `vpn_server` block of the server's configuration: upstream's six keys, and our optional `profile`. */
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
}
