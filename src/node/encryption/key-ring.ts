import type { Clock } from '../../core/clock.ts';
import { type PrivateKey, type PublicKey, parsePublicKey } from '../../core/crypto/keys.ts';
import { decryptMessage, encryptMessage } from '../../core/crypto/message.ts';
import { acceptKey, type PinStore, type TrustRules } from '../../core/crypto/pins.ts';
import { isV6Error, V6Error } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { DaemonEncryption } from '../../core/protocol/daemon.ts';
import { plainText } from '../../core/protocol/echo.ts';
import type {
  CoordinatorOrganizations,
  NodeIdentity,
  OrganizationRecord,
} from '../interfaces/coordinator.ts';
import type { Payloads } from './payloads.ts';

/** What an encrypted collaboration needs of this host. */
export interface EncryptionDeps {
  readonly privateKey: PrivateKey;
  readonly pins: PinStore;
  readonly rules: TrustRules;
}

export interface KeyRingDeps extends EncryptionDeps {
  readonly identity: Pick<NodeIdentity, 'organization' | 'organizationName'>;
  readonly organizations: Pick<CoordinatorOrganizations, 'get' | 'registerKey'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

type Refused = DaemonEncryption['refused'][number];

/** The keys of an encrypted collaboration as this node uses them: its own, and those of others as far as they are trusted. */
export class KeyRing implements Payloads {
  readonly encrypted = true;
  readonly #deps: KeyRingDeps;
  readonly #refused = new Map<number, Refused>();
  #ownKey: DaemonEncryption['ownKey'] = 'registered';

  constructor(deps: KeyRingDeps) {
    this.#deps = deps;
  }

  open(text: string, what: string): Uint8Array {
    return decryptMessage(text, this.#deps.privateKey.key, what);
  }

  async seal(payload: Uint8Array, organization: number, signal?: AbortSignal): Promise<string> {
    const { identity, privateKey } = this.#deps;
    // For ourselves with what only we can open, whatever the server has.
    const { key } =
      organization === identity.organization
        ? privateKey.publicKey
        : await this.#trusted(organization, signal);
    return encryptMessage(payload, key);
  }

  /**
   * Makes sure that the server has our public key. One that has none gets it; another one is never replaced: it belongs to the
   * organization's other nodes and users, or to somebody in between. Throws V6_ENCRYPTION_OWN_KEY, and what the coordinator
   * throws.
   */
  async register(signal?: AbortSignal): Promise<void> {
    const { identity, organizations, privateKey, logger } = this.#deps;
    const { organization } = identity;
    const { fingerprint, wire } = privateKey.publicKey;
    const record = await organizations.get(organization, signal);
    if (record.publicKey === '') {
      await organizations.registerKey(organization, wire, signal);
      logger.info('The public key of the organization was registered', {
        organization,
        fingerprint,
      });
      return;
    }
    const registered = fingerprintOf(record);
    if (registered === fingerprint) return;
    throw new V6Error(
      'V6_ENCRYPTION_OWN_KEY',
      `The server has another public key for this organization (${registered}) than that of this node's private key (${fingerprint})`,
      {
        hints: [
          'All nodes and users of an organization need the same private key: copy it to where encryption.private_key says.',
          'If the key at the server is the wrong one, a user of the organization replaces it: v6 node create-private-key --replace-registered',
        ],
        details: { organization, registered, fingerprint },
      },
    );
  }

  /** Looks whether the server still has our public key. Never throws: a server that does not answer is asked later. */
  async checkOwn(signal: AbortSignal): Promise<void> {
    const { identity, organizations, privateKey, logger } = this.#deps;
    try {
      const record = await organizations.get(identity.organization, signal);
      const registered = record.publicKey === '' ? 'none' : fingerprintOf(record);
      const { fingerprint } = privateKey.publicKey;
      const before = this.#ownKey;
      this.#ownKey = registered === fingerprint ? 'registered' : 'replaced';
      if (this.#ownKey === before) return;
      const fields = { organization: identity.organization, registered, fingerprint };
      if (this.#ownKey === 'registered')
        logger.info('The server has the public key of this organization again', fields);
      else
        logger.error('The server has another public key for this organization than ours', {
          ...fields,
          code: 'V6_ENCRYPTION_OWN_KEY',
        });
    } catch (error) {
      if (!signal.aborted) logger.debug('The own public key could not be compared', { error });
    }
  }

  status(): DaemonEncryption {
    return {
      fingerprint: this.#deps.privateKey.publicKey.fingerprint,
      ownKey: this.#ownKey,
      refused: [...this.#refused.values()],
    };
  }

  async #trusted(organization: number, signal: AbortSignal | undefined): Promise<PublicKey> {
    const { organizations, pins, rules, clock, logger } = this.#deps;
    const { name: given, publicKey } = await organizations.get(organization, signal);
    const name = plainText(given);
    try {
      const key = parsePublicKey(publicKey, `organization ${organization} (${name})`);
      const now = clock.now();
      const accepted = await acceptKey(pins, rules, { organization, name, key }, now);
      this.#refused.delete(organization);
      return accepted;
    } catch (error) {
      if (isV6Error(error)) {
        const { code, message } = error;
        this.#refused.set(organization, { organization, name, code, message });
        logger.error('The public key of an organization is refused', { organization, code, error });
      }
      throw error;
    }
  }
}

function fingerprintOf({ id, publicKey }: OrganizationRecord): string {
  try {
    return parsePublicKey(publicKey, `organization ${id}`).fingerprint;
  } catch {
    return 'unreadable';
  }
}
