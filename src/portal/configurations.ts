import path from 'node:path';
import type { Clock } from '../core/clock.ts';
import { V6Error } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { addressAt } from '../core/net/ipv4.ts';
import { renderClientConfig } from './client-config.ts';
import { beyondLimit, createAddressChanges } from './foreign-ways.ts';
import type { CertificateMaker, KeyedCertificate } from './interfaces/certificates.ts';
import type { PortalFiles } from './interfaces/files.ts';
import type { RevokedNode } from './interfaces/portal-admin.ts';
import type { Authorization, Ended, LeaseStore } from './interfaces/store.ts';
import type { VpnServerControl } from './interfaces/vpn-server.ts';
import { randomHex } from './secrets.ts';
import { nodeCapacity, POOL_ENTRY, renderClientEntry } from './server-config.ts';
import { type EmbeddedPortalSettings, nodeOffsets, type PortalPaths } from './settings.ts';

/** How long a live session may go on after its node got a new certificate, in ms: time to bring the new one up. */
export const REPLACED_GRACE_MS = 30_000;
/** Certificates begin this long before they are issued: the clocks of two machines differ (eduVPN: five minutes). */
const BACKDATED_MS = 5 * 60_000;

export interface ConfigurationDeps {
  readonly store: LeaseStore;
  readonly files: PortalFiles;
  readonly certificates: Pick<CertificateMaker, 'makeClient'>;
  readonly control: VpnServerControl;
  readonly clock: Pick<Clock, 'now'>;
  readonly logger: Logger;
  readonly settings: EmbeddedPortalSettings;
  readonly paths: PortalPaths;
  readonly authority: KeyedCertificate;
  readonly staticKey: string;
}

export interface ConnectInput {
  readonly authorization: Authorization;
  /** The node that owns address and certificate (our field `v6_node`); undefined from clients that do not know it. */
  readonly node: string | undefined;
  readonly prefersTcp: boolean;
}

/**
 * Who may connect to the VPN server and with which address. A certificate is valid as long as it has a row in the store;
 * the VPN server sees that as a file in its `ccd` folder. Changes run one after the other.
 */
export class Configurations {
  readonly #deps: ConfigurationDeps;
  readonly #replaced = new Map<string, { readonly until: number; readonly successor: string }>();
  readonly #changeAddresses: ReturnType<typeof createAddressChanges>;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(deps: ConfigurationDeps) {
    this.#deps = deps;
    this.#changeAddresses = createAddressChanges(deps);
  }

  /** A new client config for the node; what it held before ends. Throws V6_PORTAL_QUOTA when no address is free. */
  connect(input: ConnectInput): Promise<string> {
    return this.#oneAtATime(async () => {
      const { settings, paths, authority, staticKey, files } = this.#deps;
      const commonName = randomHex(16);
      const now = this.#deps.clock.now();
      // What can fail comes first: until the store is changed, the node keeps what it has.
      const issued = await this.#deps.certificates.makeClient(authority, {
        commonName,
        organizationalUnit: settings.profile.id,
        notBefore: new Date(now.getTime() - BACKDATED_MS),
        notAfter: input.authorization.expiresAt,
      });
      const limit = settings.testModes?.maxActiveConfigurations;
      const isOwner = input.node !== undefined && limit === undefined;
      const owner = ownerOf({ ...input, node: isOwner ? input.node : undefined });
      for (const oldest of limit === undefined
        ? []
        : beyondLimit(this.#deps.store.list(), owner, limit)) {
        await this.#forget(this.#deps.store.endOwner(oldest) ?? []);
        this.#deps.store.removeOwner(oldest);
      }
      const offset = this.#reserve(owner, !isOwner);
      const file = path.join(paths.clientConfigs, commonName);
      await files.write(file, this.#entryOf(offset));
      const ended = this.#deps.store.certify(owner, {
        commonName,
        authorizationId: input.authorization.id,
        issuedAt: now,
        expiresAt: input.authorization.expiresAt,
      });
      await this.#forget(ended, { owner, successor: commonName });
      return renderClientConfig({
        portalUrl: `${settings.url}/vpn-user-portal/`,
        profile: settings.profile,
        expiresAt: input.authorization.expiresAt,
        authority: authority.certificate,
        certificate: issued.certificate,
        privateKey: issued.privateKey,
        staticKey,
        remotes: settings.remotes,
        prefersTcp: input.prefersTcp,
      });
    });
  }

  /** Ends what the authorization holds, live sessions included. Nothing held is fine. */
  endAuthorization(authorizationId: string): Promise<void> {
    return this.#oneAtATime(async () => {
      await this.#forget(this.#deps.store.endAuthorization(authorizationId));
    });
  }

  /**
   * Ends the node's certificate; its address stays with it unless it is released. `node` is what the portal's status shows, or
   * its beginning up to the last dash, the node's name, where only one has it. Throws V6_REQUEST_NOT_FOUND.
   */
  revoke(node: string, options: { readonly release: boolean }): Promise<RevokedNode> {
    return this.#oneAtATime(async () => {
      const { store, settings } = this.#deps;
      const lease = findLease(store.list(), node);
      const ended = store.endOwner(lease.owner) ?? [];
      const sessionsCut = await this.#forget(ended);
      if (options.release) store.removeOwner(lease.owner);
      return {
        node: lease.owner,
        address: addressAt(settings.subnet, lease.offset),
        certificates: ended.length,
        sessionsCut,
        released: options.release,
      };
    });
  }

  /** Makes the files of the VPN server those of the store, exactly: at start, after a crash in between. */
  restoreEntries(): Promise<void> {
    return this.#oneAtATime(async () => {
      const { store, files, paths } = this.#deps;
      await files.ensureFolder(paths.clientConfigs);
      const wanted = new Map(
        store
          .list()
          .flatMap(({ certificate, offset }) =>
            certificate ? [[certificate.commonName, offset] as const] : [],
          ),
      );
      for (const name of await files.list(paths.clientConfigs)) {
        if (!wanted.has(name)) await files.remove(path.join(paths.clientConfigs, name));
      }
      for (const [name, offset] of wanted) {
        const file = path.join(paths.clientConfigs, name);
        const text = this.#entryOf(offset);
        if ((await files.read(file)) !== text) await files.write(file, text);
      }
    });
  }

  /**
   * Ends what is over, and cuts live sessions whose certificate is over, revoked or replaced: openvpn itself looks at a
   * certificate only when a connection begins. Throws V6_VPN_SERVER_UNREACHABLE.
   */
  sweep(): Promise<void> {
    return this.#oneAtATime(async () => {
      const { store, control, clock, logger, settings } = this.#deps;
      await this.#removeEntries(store.purge(clock.now()));
      const now = clock.now().getTime();
      const valid = new Set(store.list().flatMap((lease) => lease.certificate?.commonName ?? []));
      const sessions = await control.sessions();
      const connected = new Set(sessions.map(({ commonName }) => commonName));
      if (settings.testModes?.changesAddresses) await this.#changeAddresses(store.list(), sessions);
      for (const [name, { until }] of this.#replaced) {
        if (until <= now && !connected.has(name)) this.#replaced.delete(name);
      }
      for (const session of sessions) {
        if (valid.has(session.commonName)) continue;
        const replaced = this.#replaced.get(session.commonName);
        const isWaiting = replaced && replaced.until > now && !connected.has(replaced.successor);
        if (isWaiting) continue;
        await control.cut(session);
        logger.info('Cut a session that may no longer go on', {
          tunnelAddress: session.tunnelAddress,
        });
      }
    });
  }

  #entryOf(offset: number): string {
    const { subnet, testModes } = this.#deps.settings;
    return testModes?.hasTwoSlices ? POOL_ENTRY : renderClientEntry(subnet, offset);
  }

  #reserve(owner: string, anonymous: boolean): number {
    const { store, settings } = this.#deps;
    const offset = store.reserve({ owner, anonymous, ...nodeOffsets(settings.subnet) });
    if (offset !== 'full') return offset;
    throw new V6Error(
      'V6_PORTAL_QUOTA',
      `No tunnel address is free: ${settings.subnet} holds ${nodeCapacity(settings.subnet)} nodes`,
      {
        hints: [
          'Release the address of a node that is gone: v6 portal revoke NODE --release',
          'Or start the portal with a larger --subnet.',
        ],
        details: { subnet: settings.subnet },
      },
    );
  }

  /** Takes the licence away first, then cuts: nobody can come back in between. Null when nothing could be cut now. */
  async #forget(
    ended: readonly Ended[],
    replacement?: { readonly owner: string; readonly successor: string },
  ): Promise<number | null> {
    await this.#removeEntries(ended);
    const isReplaced = ({ owner }: Ended): boolean => owner === replacement?.owner;
    for (const entry of ended.filter(isReplaced)) {
      this.#replaced.set(entry.commonName, {
        until: this.#deps.clock.now().getTime() + REPLACED_GRACE_MS,
        successor: replacement?.successor ?? '',
      });
    }
    const names = new Set(ended.filter((entry) => !isReplaced(entry)).map((e) => e.commonName));
    if (names.size === 0) return 0;
    try {
      const live = (await this.#deps.control.sessions()).filter((s) => names.has(s.commonName));
      for (const session of live) await this.#deps.control.cut(session);
      return live.length;
    } catch (error) {
      // The next sweep does it; without its file nobody gets in again either way.
      this.#deps.logger.warn(
        'Sessions cannot be cut now; they end as soon as the VPN server answers',
        {
          code: error instanceof V6Error ? error.code : 'V6_BUG',
        },
      );
      return null;
    }
  }

  async #removeEntries(ended: readonly Ended[]): Promise<void> {
    const { files, paths } = this.#deps;
    for (const { commonName } of ended)
      await files.remove(path.join(paths.clientConfigs, commonName));
  }

  #oneAtATime<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }
}

function findLease<L extends { readonly owner: string }>(leases: readonly L[], node: string): L {
  const exact = leases.find(({ owner }) => owner === node);
  if (exact !== undefined) return exact;
  const named = leases.filter(({ owner }) => owner.replace(/-[^-]*$/, '') === node);
  const [only] = named;
  if (only !== undefined && named.length === 1) return only;
  throw new V6Error(
    'V6_REQUEST_NOT_FOUND',
    named.length === 0
      ? `The portal knows no node ${JSON.stringify(node)}`
      : `The portal knows ${named.length} nodes called ${JSON.stringify(node)}`,
    {
      hints:
        named.length === 0
          ? ['See the nodes that it knows: v6 portal status']
          : [`Name one of them: ${named.map(({ owner }) => owner).join(', ')}`],
    },
  );
}

function ownerOf(input: Pick<ConnectInput, 'node' | 'authorization'>): string {
  // No node can take this name: the API refuses it as one.
  return input.node ?? `authorization/${input.authorization.id}`;
}
