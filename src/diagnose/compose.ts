import path from 'node:path';
import { systemClock } from '../core/clock.ts';
import type { HostFolders } from '../core/context.ts';
import type { VpnTestReport } from '../core/vpn/test-report.ts';
import type { Login, LoginStore, NamedLogin } from './interfaces/login-store.ts';
import type { NetworkAdmin } from './interfaces/network-admin.ts';
import type { UserClient } from './interfaces/user-client.ts';
import { testVpn, type VpnTestInput } from './vpn-test.ts';

/** A user's side of a network: logins, and what can be done with one. */
export interface UserSide {
  readonly logins: LoginStore;
  /** Exchanges name and password for tokens; stores nothing. */
  logIn(
    input: { readonly serverUrl: string; readonly username: string; readonly password: string },
    signal?: AbortSignal,
  ): Promise<Login>;
  /** A client whose renewed tokens go back into the file when the login has a name. */
  client(login: Login | NamedLogin): UserClient;
  admin(login: Login | NamedLogin): NetworkAdmin;
  testVpn(
    login: Login | NamedLogin,
    input: VpnTestInput,
    options: { readonly signal: AbortSignal; readonly onProgress: (line: string) => void },
  ): Promise<VpnTestReport>;
}

/** Where the logins of a user are. */
export function loginFilePath(folders: HostFolders): string {
  return path.join(folders.xdgConfigHome ?? path.join(folders.home, '.config'), 'v6/logins.json');
}

/** Wires the user's side to the file of logins and to HTTP. */
export async function composeUserSide(folders: HostFolders): Promise<UserSide> {
  const [{ createLoginFile }, session, http] = await Promise.all([
    import('../adapters/login-file/login-file.ts'),
    import('../adapters/http/user-session.ts'),
    import('../adapters/http/user-client.ts'),
  ]);
  const logins = createLoginFile(loginFilePath(folders));
  const open = (login: Login | NamedLogin): InstanceType<typeof session.UserSession> =>
    new session.UserSession(login, async (tokens) => {
      if ('name' in login) await logins.updateTokens(login.name, tokens);
    });
  return {
    logins,
    logIn: session.logIn,
    client: (login) => http.createUserClient(open(login)),
    admin: (login) => http.createNetworkAdmin(open(login)),
    testVpn: (login, input, { signal, onProgress }) =>
      testVpn(
        { client: http.createUserClient(open(login)), clock: systemClock, onProgress },
        input,
        signal,
      ),
  };
}
