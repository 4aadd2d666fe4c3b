import type { Clock } from '../clock.ts';
import { isV6Error, V6Error } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { KeyRingStatus } from '../protocol/daemon.ts';
import { plainText } from '../protocol/echo.ts';
import { type PrivateKey, type PublicKey, parsePublicKey } from './keys.ts';
import { decryptMessage, encryptMessage } from './message.ts';
import { acceptKey, type PinStore, type TrustRules } from './pins.ts';

export interface OrganizationRecord {
  readonly id: number;
  readonly name: string;
  /** base64 of the PEM text; empty when there is none. */
  readonly publicKey: string;
}

/** Public keys as a server has them. */
export interface OrganizationKeys {
  get(organization: number, signal?: AbortSignal): Promise<OrganizationRecord>;
  /** Stores the public key of the own organization. */
  registerKey(organization: number, publicKey: string, signal?: AbortSignal): Promise<void>;
}

/** What encryption needs of the host that a node or a user works on. */
export interface EncryptionDeps {
  readonly privateKey: PrivateKey;
  readonly pins: PinStore;
  readonly rules: TrustRules;
}

export interface KeyRingDeps extends EncryptionDeps {
  /** The organization whose private key it is. */
  readonly own: number;
  readonly organizations: OrganizationKeys;
  readonly clock: Pick<Clock, 'now'>;
  readonly logger: Logger;
}

type Refused = KeyRingStatus['refused'][number];

/** The keys of encrypted collaborations as one node or user uses them: the own one, and those of others as far as they are trusted. */
export class KeyRing {
  readonly encrypted = true;
  readonly #deps: KeyRingDeps;
  readonly #refused = new Map<number, Refused>();
  #ownKey: KeyRingStatus['ownKey'] = 'registered';

  constructor(deps: KeyRingDeps) {
    this.#deps = deps;
  }

  open(text: string, what: string): Uint8Array {
    return decryptMessage(text, this.#deps.privateKey.key, what);
  }

  async seal(payload: Uint8Array, organization: number, signal?: AbortSignal): Promise<string> {
    const { own, privateKey } = this.#deps;
    // For ourselves with what only we can open, whatever the server has.
    const { key } =
      organization === own ? privateKey.publicKey : await this.#trusted(organization, signal);
    return encryptMessage(payload, key);
  }

  /**
   * Makes sure that the server has our public key. One that has none gets it; another one is never replaced: it belongs to the
   * organization's other nodes and users, or to somebody in between. Throws V6_ENCRYPTION_OWN_KEY, and what the coordinator
   * throws.
   */
  async register(signal?: AbortSignal): Promise<void> {
    const { own: organization, organizations, privateKey, logger } = this.#deps;
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
      `The server has another public key for this organization (${registered}) than that of its private key here (${fingerprint})`,
      {
        hints: [
          'All nodes and users of an organization need the same private key: encryption.private_key of a node, --private-key of a user.',
          'If the key at the server is the wrong one, a user of the organization replaces it: v6 node create-private-key --replace-registered',
        ],
        details: { organization, registered, fingerprint },
      },
    );
  }

  /** Looks whether the server still has our public key. Never throws: a server that does not answer is asked later. */
  async checkOwn(signal: AbortSignal): Promise<void> {
    const { own, organizations, privateKey, logger } = this.#deps;
    try {
      const record = await organizations.get(own, signal);
      const registered = record.publicKey === '' ? 'none' : fingerprintOf(record);
      const { fingerprint } = privateKey.publicKey;
      const before = this.#ownKey;
      this.#ownKey = registered === fingerprint ? 'registered' : 'replaced';
      if (this.#ownKey === before) return;
      const fields = { organization: own, registered, fingerprint };
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

  status(): KeyRingStatus {
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
