import { Secret, TOTP } from 'otpauth';
import type { Clock } from '../../core/clock.ts';
import { seal, unseal } from '../auth/sealed.ts';
import type { UserRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';

/** What an authenticator app needs. */
export interface Enrolment {
  /** `otpauth://totp/…` (https://github.com/google/google-authenticator/wiki/Key-Uri-Format). */
  readonly qrUri: string;
  /** 32 characters of base32. */
  readonly secret: string;
}

/** One-time passwords by time (RFC 6238): SHA-1, 30 s, 6 digits, one step of tolerance on each side, as upstream. */
export interface SecondFactor {
  /** `enrolled`: a code is asked for. `pending`: a secret was shown, and its first code is awaited. */
  stateOf(userId: number): Promise<'none' | 'pending' | 'enrolled'>;
  /** A new secret; one that was shown before and never used is void, and one in use stays until the first code of the new one. */
  begin(user: Pick<UserRecord, 'id' | 'username'>): Promise<Enrolment>;
  /** True once for each code; the first good code of a secret enrols it. */
  accept(userId: number, code: string): Promise<boolean>;
  /** The user has no second factor any more. */
  remove(userId: number): Promise<void>;
}

export interface SecondFactorDeps {
  readonly store: Pick<Store, 'secondFactors'>;
  readonly clock: Pick<Clock, 'now'>;
  /** 32 bytes; encrypts secrets in the database. */
  readonly key: Buffer;
  /** `server_name` of the configuration. */
  readonly serverName: string;
}

const PERIOD_S = 30;
const SECRET_BYTES = 20;

export function createSecondFactor(deps: SecondFactorDeps): SecondFactor {
  const { clock, key } = deps;
  const { secondFactors } = deps.store;
  const context = (userId: number): string => `second factor of ${userId}`;

  /** The step that a code belongs to. */
  const stepOf = (userId: number, sealed: string, code: string): number | undefined => {
    const secret = unseal(key, context(userId), sealed);
    if (secret === undefined) return undefined;
    const timestamp = clock.now().getTime();
    const delta = totp(secret).validate({ token: code, timestamp, window: 1 });
    return delta === null ? undefined : Math.floor(timestamp / 1000 / PERIOD_S) + delta;
  };

  return {
    stateOf: async (userId) => {
      const record = await secondFactors.find(userId);
      if (typeof record?.secret === 'string') return 'enrolled';
      return typeof record?.pending === 'string' ? 'pending' : 'none';
    },

    begin: async ({ id, username }) => {
      const secret = new Secret({ size: SECRET_BYTES }).base32;
      await secondFactors.savePending(id, seal(key, context(id), secret));
      const issuer = encodeURIComponent(`vantage6 (${deps.serverName})`);
      const label = encodeURIComponent(username);
      return {
        qrUri: `otpauth://totp/${issuer}:${label}?secret=${secret}&issuer=${issuer}`,
        secret,
      };
    },

    accept: async (userId, code) => {
      const record = await secondFactors.find(userId);
      const digits = code.replaceAll(' ', '');
      if (record === undefined || !/^\d{6}$/.test(digits)) return false;
      for (const sealed of [record.secret, record.pending]) {
        const step = sealed === null ? undefined : stepOf(userId, sealed, digits);
        if (sealed === null || step === undefined) continue;
        if (!(await secondFactors.takeStep(userId, step))) return false;
        return sealed === record.secret || secondFactors.enrol(userId, sealed);
      }
      return false;
    },

    remove: (userId) => secondFactors.remove(userId),
  };
}

const totp = (secret: string): TOTP =>
  new TOTP({
    secret: Secret.fromBase32(secret),
    algorithm: 'SHA1',
    digits: 6,
    period: PERIOD_S,
  });
