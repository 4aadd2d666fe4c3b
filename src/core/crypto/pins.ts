import { V6Error } from '../errors.ts';
import type { PublicKey } from './keys.ts';

/** The public key that is trusted for one organization at one server. */
export interface KeyPin {
  readonly organization: number;
  /** As the server called it then; only to recognise it by. */
  readonly name: string;
  readonly fingerprint: string;
  /** `first use`: the first that the server gave. `trusted`: accepted by a person. */
  readonly origin: 'first use' | 'trusted';
  readonly since: Date;
}

/** A key that was refused, because another one is pinned. */
export interface RefusedKey {
  readonly organization: number;
  readonly name: string;
  readonly fingerprint: string;
  readonly at: Date;
}

/**
 * Pins of one server, on disk, one file per organization: a daemon and a command may work on them side by side. Methods throw
 * V6_CONFIG_WRITE, and V6_CONFIG_SYNTAX for a file that is not ours: a pin that cannot be read is not a missing one.
 */
export interface PinStore {
  find(organization: number): Promise<KeyPin | undefined>;
  list(): Promise<readonly KeyPin[]>;
  /** Pins a key unless another one is; returns the pin that counts. */
  pinFirst(pin: KeyPin): Promise<KeyPin>;
  /** Replaces the pin, and forgets what was refused. */
  trust(pin: KeyPin): Promise<void>;
  /** Removes pin and refusal. False when there was neither. */
  forget(organization: number): Promise<boolean>;
  /** Forgets everything about this server. */
  removeAll(): Promise<void>;
  noteRefused(refused: RefusedKey): Promise<void>;
  listRefused(): Promise<readonly RefusedKey[]>;
}

export interface TrustRules {
  /** Organization → fingerprint, given out of band; wins over what is stored. */
  readonly pinned: ReadonlyMap<number, string>;
  /** Whether the first key that a server gives for an organization is trusted. */
  readonly trustOnFirstUse: boolean;
  /** The command that accepts a key, without the organization. */
  readonly trustCommand: string;
}

export interface OfferedKey {
  readonly organization: number;
  readonly name: string;
  readonly key: PublicKey;
}

/**
 * Accepts the key that a server offers for an organization, or throws V6_ENCRYPTION_KEY_CHANGED or V6_ENCRYPTION_KEY_UNKNOWN. A
 * first key is pinned on the way, a refused one is written down for whoever has to judge it.
 */
export async function acceptKey(
  store: PinStore,
  rules: TrustRules,
  { organization, name, key }: OfferedKey,
  now: Date,
): Promise<PublicKey> {
  const { fingerprint } = key;
  const given = rules.pinned.get(organization);
  if (given !== undefined) {
    if (given === fingerprint) return key;
    throw changed(rules, { organization, name, fingerprint, pinned: given, isGiven: true });
  }
  let pin = await store.find(organization);
  if (pin === undefined && rules.trustOnFirstUse)
    pin = await store.pinFirst({
      organization,
      name,
      fingerprint,
      origin: 'first use',
      since: now,
    });
  if (pin?.fingerprint === fingerprint) return key;
  await store.noteRefused({ organization, name, fingerprint, at: now });
  if (pin === undefined) throw unknown(rules, { organization, name, fingerprint });
  const { fingerprint: pinned } = pin;
  throw changed(rules, { organization, name, fingerprint, pinned, isGiven: false });
}

interface Refusal {
  readonly organization: number;
  readonly name: string;
  readonly fingerprint: string;
}

function changed(
  { trustCommand }: TrustRules,
  refusal: Refusal & { readonly pinned: string; readonly isGiven: boolean },
): V6Error {
  const { organization, name, fingerprint, pinned, isGiven } = refusal;
  return new V6Error(
    'V6_ENCRYPTION_KEY_CHANGED',
    `The server gives another public key for organization ${organization} (${name}) than the one that is trusted: ${fingerprint} instead of ${pinned}`,
    {
      hints: [
        `Ask that organization for the fingerprint of its key, on another way than through the server.`,
        isGiven
          ? 'If its key was replaced: change encryption.pinned_keys.'
          : `If its key was replaced: ${trustCommand} ${organization} --fingerprint ${fingerprint}`,
        'If it was not, somebody at the server tries to read along: nothing was sent.',
      ],
      details: { organization, name, fingerprint, pinned },
    },
  );
}

function unknown({ trustCommand }: TrustRules, refusal: Refusal): V6Error {
  const { organization, name, fingerprint } = refusal;
  return new V6Error(
    'V6_ENCRYPTION_KEY_UNKNOWN',
    `No key is trusted for organization ${organization} (${name}); the server gives ${fingerprint}`,
    {
      hints: [
        `When that organization confirms the fingerprint: ${trustCommand} ${organization} --fingerprint ${fingerprint}`,
      ],
      details: { organization, name, fingerprint },
    },
  );
}
