import path from 'node:path';
import { systemClock } from '../core/clock.ts';
import type { HostFolders } from '../core/context.ts';
import { KeyRing } from '../core/crypto/key-ring.ts';
import type { PrivateKey } from '../core/crypto/keys.ts';
import type { PinStore } from '../core/crypto/pins.ts';
import { isV6Error, V6Error } from '../core/errors.ts';
import { silentLogger } from '../core/logger.ts';
import type { VpnTestReport } from '../core/vpn/test-report.ts';
import type {
  AskCode,
  Login,
  LoginInput,
  LoginStore,
  NamedLogin,
} from './interfaces/login-store.ts';
import type { NetworkAdmin } from './interfaces/network-admin.ts';
import type { UserClient } from './interfaces/user-client.ts';
import { testVpn, type VpnTestInput } from './vpn-test.ts';

/** A user's side of a network: logins, and what can be done with one. */
export interface UserSide {
  readonly logins: LoginStore;
  /** Exchanges name and password for tokens; stores nothing. */
  logIn(input: LoginInput, signal?: AbortSignal, askCode?: AskCode): Promise<Login>;
  /**
   * Ends the session at the server, so that copies of its tokens are worthless too. False where the server has no such thing,
   * as upstream's. Throws V6_SERVER_UNREACHABLE and others as `UserClient` says.
   */
  endSession(login: Login): Promise<boolean>;
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

/** A Python server has no such route, and a session that has run out needs no end. */
const NO_LOGOUT = ['V6_REQUEST_NOT_FOUND', 'V6_SERVER_ANSWER', 'V6_AUTH_TOKEN_EXPIRED'] as const;

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
    new session.UserSession(
      login,
      'name' in login
        ? {
            save: (tokens) => logins.updateTokens(login.name, tokens),
            read: () => logins.find(login.name),
          }
        : {},
    );
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
    endSession: async (login) => {
      try {
        await open(login).request('POST', '/token/logout', { body: {} });
        return true;
      } catch (error) {
        if (isV6Error(error, ...NO_LOGOUT)) return false;
        throw error;
      }
    },
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
