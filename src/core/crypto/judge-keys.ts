import { V6Error } from '../errors.ts';
import { parseFingerprint } from './keys.ts';
import type { KeyPin, PinStore } from './pins.ts';

/** One organization in a list of keys. */
export interface ListedKey {
  readonly organization: number;
  /** As the server called it; null for a key that only the configuration names. */
  readonly name: string | null;
  /** The trusted key; null when none is. */
  readonly fingerprint: string | null;
  readonly origin: KeyPin['origin'] | 'configuration' | null;
  /** ISO 8601 */
  readonly since: string | null;
  /** A key that the server gave and that was refused. */
  readonly refused: { readonly fingerprint: string; readonly at: string } | null;
}

/** All keys that are trusted or were refused, by organization. `pinned`: those of the configuration, which win. */
export async function listKeys(
  store: PinStore,
  pinned: ReadonlyMap<number, string> = new Map(),
): Promise<readonly ListedKey[]> {
  const [pins, refusals] = await Promise.all([store.list(), store.listRefused()]);
  const ids = [...pins, ...refusals].map(({ organization }) => organization);
  return [...new Set([...ids, ...pinned.keys()])]
    .toSorted((a, b) => a - b)
    .map((organization) => {
      const pin = pins.find((one) => one.organization === organization);
      const refused = refusals.find((one) => one.organization === organization);
      const given = pinned.get(organization);
      return {
        organization,
        name: pin?.name ?? refused?.name ?? null,
        fingerprint: given ?? pin?.fingerprint ?? null,
        origin: given === undefined ? (pin?.origin ?? null) : 'configuration',
        since: given === undefined ? (pin?.since.toISOString() ?? null) : null,
        refused:
          refused === undefined
            ? null
            : { fingerprint: refused.fingerprint, at: refused.at.toISOString() },
      };
    });
}

/** The pin that a person is about to make: of the fingerprint they give, or else of the key that was refused. Throws V6_USAGE. */
export async function plannedPin(
  store: PinStore,
  input: {
    readonly organization: number;
    readonly fingerprint: string | undefined;
    readonly now: Date;
  },
): Promise<KeyPin> {
  const { organization, now } = input;
  const [refused, pin] = [
    (await store.listRefused()).find((one) => one.organization === organization),
    await store.find(organization),
  ];
  const fingerprint =
    input.fingerprint === undefined ? refused?.fingerprint : parseFingerprint(input.fingerprint);
  if (fingerprint === undefined) {
    throw input.fingerprint === undefined
      ? new V6Error('V6_USAGE', `No key of organization ${organization} was refused`, {
          hints: ['Give the fingerprint of the key to trust: --fingerprint HEX'],
        })
      : new V6Error('V6_USAGE', `${JSON.stringify(input.fingerprint)} is not a fingerprint`, {
          hints: ['It has 64 hex digits: the SHA-256 of the public key in DER form.'],
        });
  }
  const name = refused?.name ?? pin?.name ?? '';
  return { organization, name, fingerprint, origin: 'trusted', since: now };
}
