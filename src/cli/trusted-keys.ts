import { Args } from '@oclif/core';
import { plannedPin } from '../core/crypto/judge-keys.ts';
import type { PinStore } from '../core/crypto/pins.ts';
import { confirmOrYes } from './confirm.ts';

/** The argument of every command about one organization's key. */
export const organizationArg = {
  organization: Args.integer({ description: 'id of the organization', required: true, min: 1 }),
};

export interface TrustedKey {
  readonly organization: number;
  readonly fingerprint: string;
}

export interface ForgottenKey {
  readonly organization: number;
  /** False: nothing was known of it. */
  readonly forgotten: boolean;
}

/** How a command asks and speaks. */
export interface KeyCommand {
  readonly flags: { readonly yes: boolean };
  readonly isQuiet: boolean;
  log(line: string): void;
}

/** Trusts the key with this fingerprint, or the one that was refused last, once the caller has agreed. Throws what `plannedPin` does. */
export async function trustKey(
  pins: PinStore,
  { organization, fingerprint }: { organization: number; fingerprint: string | undefined },
  command: KeyCommand,
): Promise<TrustedKey> {
  const pin = await plannedPin(pins, { organization, fingerprint, now: new Date() });
  const whose = pin.name === '' ? '' : ` (${pin.name})`;
  await confirmOrYes({
    message: `Trust the key ${pin.fingerprint} of organization ${organization}${whose}?`,
    ...command,
  });
  await pins.trust(pin);
  command.log(`The key ${pin.fingerprint} of organization ${organization} is trusted.`);
  return { organization, fingerprint: pin.fingerprint };
}

/** Forgets the key of an organization, once the caller has agreed. */
export async function forgetKey(
  pins: Pick<PinStore, 'forget'>,
  organization: number,
  command: KeyCommand,
): Promise<ForgottenKey> {
  await confirmOrYes({
    message: `Trust any next key of organization ${organization}?`,
    ...command,
  });
  const forgotten = await pins.forget(organization);
  command.log(
    forgotten
      ? `The key of organization ${organization} is forgotten.`
      : `No key of organization ${organization} is known.`,
  );
  return { organization, forgotten };
}
