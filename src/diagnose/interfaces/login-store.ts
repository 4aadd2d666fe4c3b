/** A user's login at one server: tokens, never the password. */
export interface Login {
  /** REST base with api path, without a slash at the end: `http://localhost:7601/api`. */
  readonly serverUrl: string;
  readonly username: string;
  readonly accessToken: string;
  readonly refreshToken: string;
  /** Path from the root of the server. */
  readonly refreshPath: string;
  /** File with the private key of the user's organization, absolute; for encrypted collaborations. */
  readonly privateKeyFile?: string;
}

export interface NamedLogin extends Login {
  readonly name: string;
}

/**
 * The logins of whoever runs the command, in one file that only they can read. One is current; selecting another one
 * remembers which was current before. Methods throw V6_CONFIG_SYNTAX (the file is not ours), V6_CONFIG_WRITE.
 */
export interface LoginStore {
  /** The login of this name, or the current one. Throws V6_LOGIN_NOT_FOUND. */
  get(name?: string): Promise<NamedLogin>;
  /** Undefined when there is none of this name, or no current one. */
  find(name?: string): Promise<NamedLogin | undefined>;
  list(): Promise<readonly { readonly name: string; readonly current: boolean }[]>;
  /** Stores the login and makes it the current one. */
  save(name: string, login: Login): Promise<void>;
  /** Replaces the tokens of a login that is still there; does nothing when it was removed meanwhile. */
  updateTokens(
    name: string,
    tokens: Pick<Login, 'accessToken' | 'refreshToken' | 'refreshPath'>,
  ): Promise<void>;
  /** Makes it the current one. Throws V6_LOGIN_NOT_FOUND. */
  select(name: string): Promise<void>;
  /** Removes it; when it was current, the one that was current before is again. Absent is fine. */
  remove(name: string): Promise<void>;
}

export interface LoginInput {
  readonly serverUrl: string;
  readonly username: string;
  readonly password: string;
  /** Of a second factor. */
  readonly code?: string | undefined;
}

/** A second factor that is not in use yet. Secret: show it to the user and nobody else. */
export interface Enrolment {
  /** `otpauth://…`, for a QR code. */
  readonly uri: string;
  /** For typing. */
  readonly secret: string;
}

/** Asks the user for a code. */
export type AskCode = (enrolment: Enrolment | undefined) => Promise<string>;
