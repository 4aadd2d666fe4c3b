import path from 'node:path';
import { systemClock } from '../core/clock.ts';
import type { HostFolders } from '../core/context.ts';
import { KeyRing } from '../core/crypto/key-ring.ts';
import type { PrivateKey } from '../core/crypto/keys.ts';
import type { PinStore } from '../core/crypto/pins.ts';
import { V6Error } from '../core/errors.ts';
import { silentLogger } from '../core/logger.ts';
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
    options: {
      readonly signal: AbortSignal;
      readonly onProgress: (line: string) => void;
      /** Default: that of the login. */
      readonly privateKeyFile?: string | undefined;
    },
  ): Promise<VpnTestReport>;
  /**
   * The user's keys at the server of the login, compared with what the server has. Throws V6_TEST_ENCRYPTED without a private
   * key, V6_ENCRYPTION_*.
   */
  openKeys(
    login: Login | NamedLogin,
    privateKeyFile: string | undefined,
    signal?: AbortSignal,
  ): Promise<KeyRing>;
  /** Keys of other organizations that are trusted at the server of the login. */
  pins(login: Pick<Login, 'serverUrl'>): PinStore;
  /** Throws V6_ENCRYPTION_KEY_FILE. */
  checkPrivateKey(file: string): Promise<PrivateKey>;
}

/** Where the logins of a user are. */
export function loginFilePath(folders: HostFolders): string {
  return path.join(folders.xdgConfigHome ?? path.join(folders.home, '.config'), 'v6/logins.json');
}

/** Where the keys are that this user trusts, by server. */
function pinFolderPath(folders: HostFolders): string {
  return path.join(path.dirname(loginFilePath(folders)), 'organization-keys');
}

function noPrivateKey(): V6Error {
  return new V6Error('V6_TEST_ENCRYPTED', 'the collaboration is encrypted', {
    hints: [
      'Give the private key of your organization: --private-key FILE',
      'Or once for all with the login: v6 login --private-key FILE',
    ],
  });
}

/** Wires the user's side to the file of logins and to HTTP. */
export async function composeUserSide(folders: HostFolders): Promise<UserSide> {
  const [{ createLoginFile }, session, http, keyFiles, { createPinFiles }] = await Promise.all([
    import('../adapters/login-file/login-file.ts'),
    import('../adapters/http/user-session.ts'),
    import('../adapters/http/user-client.ts'),
    import('../adapters/organization-keys/private-key-file.ts'),
    import('../adapters/organization-keys/pin-files.ts'),
  ]);
  const logins = createLoginFile(loginFilePath(folders));
  const open = (login: Login | NamedLogin): InstanceType<typeof session.UserSession> =>
    new session.UserSession(login, async (tokens) => {
      if ('name' in login) await logins.updateTokens(login.name, tokens);
    });
  const pins = (login: Pick<Login, 'serverUrl'>): PinStore =>
    createPinFiles(pinFolderPath(folders), login.serverUrl);
  const openKeys = async (
    login: Login | NamedLogin,
    given: string | undefined,
    signal?: AbortSignal,
  ): Promise<KeyRing> => {
    const file = given ?? login.privateKeyFile;
    if (file === undefined) throw noPrivateKey();
    const client = http.createUserClient(open(login));
    const ring = new KeyRing({
      own: await client.ownOrganization(signal),
      organizations: client.organizations,
      privateKey: await keyFiles.readPrivateKeyFile(path.resolve(file)),
      pins: pins(login),
      rules: { pinned: new Map(), trustOnFirstUse: true, trustCommand: 'v6 keys trust' },
      clock: systemClock,
      logger: silentLogger,
    });
    await ring.register(signal);
    return ring;
  };
  return {
    logins,
    openKeys,
    pins,
    checkPrivateKey: keyFiles.readPrivateKeyFile,
    logIn: session.logIn,
    client: (login) => http.createUserClient(open(login)),
    admin: (login) => http.createNetworkAdmin(open(login)),
    testVpn: (login, input, { signal, onProgress, privateKeyFile }) =>
      testVpn(
        {
          client: http.createUserClient(open(login)),
          clock: systemClock,
          onProgress,
          openKeys: (until) => openKeys(login, privateKeyFile, until),
        },
        input,
        signal,
      ),
  };
}
