import { createHash, randomBytes } from 'node:crypto';
import path from 'node:path';
import type { FastifyInstance } from 'fastify';
import { openPortalDatabase } from '../../src/adapters/portal-database/open.ts';
import { V6Error } from '../../src/core/errors.ts';
import { silentLogger } from '../../src/core/logger.ts';
import type { Cidr } from '../../src/core/net/ipv4.ts';
import { Authorizations, type IssuedTokens } from '../../src/portal/authorizations.ts';
import { BrowserSessions } from '../../src/portal/browser-sessions.ts';
import { Configurations } from '../../src/portal/configurations.ts';
import { buildPortalApp } from '../../src/portal/http/app.ts';
import type { CertificateMaker } from '../../src/portal/interfaces/certificates.ts';
import type { PortalFiles } from '../../src/portal/interfaces/files.ts';
import type { PortalStore } from '../../src/portal/interfaces/store.ts';
import type { VpnServerControl, VpnSession } from '../../src/portal/interfaces/vpn-server.ts';
import { LoginLimiter } from '../../src/portal/login-limiter.ts';
import { type EmbeddedPortalSettings, portalPaths } from '../../src/portal/settings.ts';
import { ManualClock } from './manual-clock.ts';

/** Files in memory; folders exist when a file lies in them or ensureFolder made them. */
export class FakePortalFiles implements PortalFiles {
  readonly files = new Map<string, string>();
  readonly folders = new Set<string>();
  /** The next write fails. */
  failsNext = false;

  read(file: string): Promise<string | undefined> {
    return Promise.resolve(this.files.get(file));
  }

  write(file: string, text: string): Promise<void> {
    if (this.failsNext) {
      this.failsNext = false;
      return Promise.reject(new V6Error('V6_CONFIG_WRITE', `Cannot write ${file}: ENOSPC`));
    }
    this.files.set(file, text);
    return Promise.resolve();
  }

  remove(target: string): Promise<void> {
    for (const held of [this.files, this.folders]) {
      for (const name of held.keys()) {
        if (name === target || name.startsWith(`${target}/`)) held.delete(name);
      }
    }
    return Promise.resolve();
  }

  removeIfEmpty(folder: string): Promise<void> {
    const isUsed = [...this.files.keys(), ...this.folders].some((name) =>
      name.startsWith(`${folder}/`),
    );
    if (!isUsed) this.folders.delete(folder);
    return Promise.resolve();
  }

  list(folder: string): Promise<readonly string[]> {
    return Promise.resolve(
      [...this.files.keys()]
        .filter((name) => path.dirname(name) === folder)
        .map((name) => path.basename(name)),
    );
  }

  ensureFolder(folder: string): Promise<string | undefined> {
    const isNew = !this.folders.has(folder);
    this.folders.add(folder);
    return Promise.resolve(isNew ? folder : undefined);
  }
}

/** A VPN server with sessions that a test puts there. */
export class FakeVpnServer implements VpnServerControl {
  live: VpnSession[] = [];
  isUp = true;
  #serial = 0;

  connect(commonName: string, tunnelAddress: string): void {
    this.live.push({
      clientId: String(this.#serial++),
      commonName,
      tunnelAddress,
      realAddress: '192.0.2.7:4000',
      connectedAt: new Date('2030-01-01T00:00:00Z'),
      bytesReceived: 1,
      bytesSent: 2,
    });
  }

  isReady(): Promise<boolean> {
    return this.#whenUp(() => true);
  }

  sessions(): Promise<readonly VpnSession[]> {
    return this.#whenUp(() => [...this.live]);
  }

  cut({ clientId }: Pick<VpnSession, 'clientId' | 'commonName'>): Promise<void> {
    return this.#whenUp(() => {
      this.live = this.live.filter((session) => session.clientId !== clientId);
    });
  }

  close(): void {
    this.isUp = false;
  }

  #whenUp<T>(work: () => T): Promise<T> {
    if (this.isUp) return Promise.resolve(work());
    return Promise.reject(new V6Error('V6_VPN_SERVER_UNREACHABLE', 'The VPN server is down'));
  }
}

/** Certificates that are words; good enough where nobody checks a signature. */
export const fakeCertificates: CertificateMaker = {
  makeAuthority: () => Promise.resolve({ certificate: 'CA CERT', privateKey: 'CA KEY' }),
  makeServer: () => Promise.resolve({ certificate: 'SERVER CERT', privateKey: 'SERVER KEY' }),
  makeClient: (_authority, { commonName }) =>
    Promise.resolve({ certificate: `CERT ${commonName}`, privateKey: `KEY ${commonName}` }),
  endOf: () => new Date('2040-01-01T00:00:00Z'),
};

export const PORTAL_PASSWORD = 'right-password';
export const CLIENT_SECRET = 'right-secret';

export interface PortalWorldOptions {
  readonly clientId?: string;
  readonly isPublic?: boolean;
  readonly subnet?: string;
  readonly url?: string;
  readonly sessionExpirySeconds?: number;
  readonly remotes?: EmbeddedPortalSettings['remotes'];
  readonly testModes?: EmbeddedPortalSettings['testModes'];
}

export interface PortalWorld {
  readonly settings: EmbeddedPortalSettings;
  readonly store: PortalStore;
  readonly files: FakePortalFiles;
  readonly server: FakeVpnServer;
  readonly clock: ManualClock;
  readonly configurations: Configurations;
  readonly authorizations: Authorizations;
  readonly app: FastifyInstance;
  /** Files in the VPN server's `ccd` folder: common name to text. */
  entries(): Readonly<Record<string, string>>;
  /** Tokens of a new authorization. */
  logIn(): Promise<IssuedTokens>;
}

/** The portal without network, disk, Docker or OpenVPN: real rules, database in memory, a clock that stands. */
export function makePortalWorld(options: PortalWorldOptions = {}): PortalWorld {
  const settings = settingsOf(options);
  const clock = new ManualClock();
  const files = new FakePortalFiles();
  const server = new FakeVpnServer();
  const store = openPortalDatabase(':memory:');
  const paths = portalPaths(settings);
  const configurations = new Configurations({
    store,
    files,
    certificates: fakeCertificates,
    control: server,
    clock,
    logger: silentLogger,
    settings,
    paths,
    authority: { certificate: 'CA CERT', privateKey: 'CA KEY' },
    staticKey: 'STATIC KEY',
  });
  const authorizations = new Authorizations({
    store,
    clock,
    settings,
    clientSecret: settings.client.isPublic ? undefined : CLIENT_SECRET,
    authorityEndsAt: new Date('2040-01-01T00:00:00Z'),
    onEnd: (id) => configurations.endAuthorization(id),
  });
  const app = buildPortalApp({
    settings,
    logger: silentLogger,
    sessions: new BrowserSessions(store, clock),
    limiter: new LoginLimiter(clock),
    verify: (user, password) => Promise.resolve(user === 'nodes' && password === PORTAL_PASSWORD),
    authorizations,
    configurations,
  });
  return {
    settings,
    store,
    files,
    server,
    clock,
    configurations,
    authorizations,
    app,
    entries: () =>
      Object.fromEntries(
        [...files.files]
          .filter(([name]) => path.dirname(name) === paths.clientConfigs)
          .map(([name, text]) => [path.basename(name), text]),
      ),
    logIn: () => logIn(authorizations, settings),
  };
}

async function logIn(
  authorizations: Authorizations,
  settings: EmbeddedPortalSettings,
): Promise<IssuedTokens> {
  const verifier = randomBytes(48).toString('base64url');
  const [redirectUri = ''] = settings.client.redirectUris;
  const code = authorizations.grantCode({
    user: 'nodes',
    redirectUri,
    challenge: createHash('sha256').update(verifier).digest('base64url'),
  });
  const outcome = await authorizations.issue({
    form: new Map([
      ['grant_type', 'authorization_code'],
      ['client_id', settings.client.id],
      ['client_secret', CLIENT_SECRET],
      ['redirect_uri', redirectUri],
      ['code', code],
      ['code_verifier', verifier],
    ]),
    basic: undefined,
  });
  if (!outcome.ok) throw new Error(outcome.refusal.description);
  return outcome.tokens;
}

function settingsOf(options: PortalWorldOptions): EmbeddedPortalSettings {
  return {
    version: 1,
    url: options.url ?? 'https://vpn.example.test',
    listen: { host: '127.0.0.1', port: 0 },
    dataDir: '/data',
    runDir: '/run/portal',
    subnet: (options.subnet ?? '10.204.0.0/24') as Cidr,
    profile: { id: 'default', displayName: 'Default' },
    remotes: options.remotes ?? [
      { host: 'vpn.example.test', port: 1194, protocol: 'udp' },
      { host: 'vpn.example.test', port: 1194, protocol: 'tcp' },
    ],
    sessionExpirySeconds: options.sessionExpirySeconds ?? 90 * 24 * 3600,
    accessTokenSeconds: 3600,
    account: { user: 'nodes' },
    client: {
      id: options.clientId ?? 'some-client.vantage6.ai',
      isPublic: options.isPublic ?? false,
      redirectUris: ['http://localhost'],
    },
    vpn: { port: 1194, protocol: 'udp' },
    ...(options.testModes === undefined ? {} : { testModes: options.testModes }),
  };
}
