import { randomUUID } from 'node:crypto';
import { type ErrorCode, V6Error } from '../../src/core/errors.ts';
import type {
  IssuedConfig,
  PortalConnector,
  PortalProfile,
  PortalTokens,
} from '../../src/server/interfaces/portal-connector.ts';

interface Authorization {
  refreshToken: string;
  readonly id: number;
  /** Name of the config that it holds. */
  config: string | undefined;
}

/** A portal in memory: one authorization holds one config, `connect` ends the one before, refresh tokens work once. */
export class FakePortalConnector implements PortalConnector {
  readonly calls: string[] = [];
  /** Configs at once; more are V6_PORTAL_QUOTA. */
  quota = 100;
  /** What the connector knows of a limit. */
  known: number | undefined;
  /** Throws this code at the next call of this name. */
  failNext: { readonly call: string; readonly code: ErrorCode } | undefined;
  expiresAt = new Date('2030-04-01T00:00:00Z');
  readonly #authorizations = new Map<string, Authorization>();
  readonly #now: () => Date;
  #issued = 0;
  #granted = 0;

  constructor(now: () => Date) {
    this.#now = now;
  }

  /** Names of the configs that still work. */
  get live(): readonly string[] {
    return [...this.#authorizations.values()].flatMap(({ config }) => config ?? []);
  }

  get authorizations(): number {
    return this.#authorizations.size;
  }

  /** The portal forgets everything, as after an expired session. */
  forget(): void {
    this.#authorizations.clear();
  }

  async api(): Promise<'v3'> {
    this.#enter('api');
    return 'v3';
  }

  async authorize(): Promise<PortalTokens> {
    this.#enter('authorize');
    this.#granted += 1;
    return this.#tokens({ refreshToken: '', id: this.#granted, config: undefined });
  }

  async refresh(tokens: PortalTokens): Promise<PortalTokens> {
    this.#enter('refresh');
    const known = this.#authorizations.get(tokens.accessToken);
    if (known === undefined || known.refreshToken !== tokens.refreshToken) throw refused();
    this.#authorizations.delete(tokens.accessToken);
    return this.#tokens(known);
  }

  async findProfile(tokens: PortalTokens): Promise<PortalProfile> {
    this.#enter('findProfile');
    this.#find(tokens);
    return { id: 'mesh', displayName: 'Mesh' };
  }

  async connect(
    tokens: PortalTokens,
    input: { readonly profile: string; readonly node: string },
  ): Promise<IssuedConfig> {
    this.#enter('connect');
    const own = this.#find(tokens);
    own.config = undefined;
    if (this.live.length >= this.quota)
      throw new V6Error('V6_PORTAL_QUOTA', 'The portal has no room');
    this.#issued += 1;
    own.config = `config-${this.#issued}`;
    return { text: `# ${own.config} of ${input.node}\n`, expiresAt: this.expiresAt };
  }

  async limit(): Promise<number | undefined> {
    return this.known;
  }

  async disconnect(tokens: PortalTokens): Promise<void> {
    this.#enter('disconnect');
    this.#authorizations.delete(tokens.accessToken);
  }

  #enter(call: string): void {
    this.calls.push(call);
    if (this.failNext?.call !== call) return;
    const { code } = this.failNext;
    this.failNext = undefined;
    throw new V6Error(code, `The portal fails at ${call}`);
  }

  #find(tokens: PortalTokens): Authorization {
    const known = this.#authorizations.get(tokens.accessToken);
    if (known === undefined || tokens.accessExpiresAt <= this.#now()) throw refused();
    return known;
  }

  #tokens(authorization: Authorization): PortalTokens {
    const accessToken = `portal-access-${randomUUID()}`;
    const refreshToken = `portal-refresh-${randomUUID()}`;
    authorization.refreshToken = refreshToken;
    this.#authorizations.set(accessToken, authorization);
    const accessExpiresAt = new Date(this.#now().getTime() + 3_600_000);
    return { accessToken, refreshToken, accessExpiresAt };
  }
}

const refused = (): V6Error =>
  new V6Error('V6_PORTAL_TOKEN', 'The portal does not know the token any more');
