import {
  type Argon2Parameters,
  argon2,
  randomBytes,
  randomInt,
  timingSafeEqual,
} from 'node:crypto';
import { promisify } from 'node:util';

export { checkPasswordRule } from './password-rule.ts';

/** OWASP's minimum for argon2id (19 MiB, 2 passes): about 60 ms, in the thread pool. */
const COST = { memory: 19_456, passes: 2, parallelism: 1, tagLength: 32 } as const;

const derive = promisify(argon2) as (
  algorithm: 'argon2id',
  parameters: Argon2Parameters,
) => Promise<Buffer>;

/** The PHC string of a password: `$argon2id$v=19$m=…,t=…,p=…$salt$hash`. */
export async function hashPassword(password: string): Promise<string> {
  const nonce = randomBytes(16);
  const hash = await derive('argon2id', { message: password, nonce, ...COST });
  const { memory, passes, parallelism } = COST;
  return `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${bare(nonce)}$${bare(hash)}`;
}

const PHC = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([\w+/]+)\$([\w+/]+)$/;

/** True for a hash in the form that `hashPassword` makes; its cost may be another one. */
export const isPasswordHash = (phc: string): boolean => PHC.test(phc);

/** True when the password is the one of the hash; false for a hash in another form. */
export async function verifyPassword(password: string, phc: string): Promise<boolean> {
  const match = PHC.exec(phc);
  if (match === null) return false;
  const [, memory, passes, parallelism, salt = '', hash = ''] = match;
  const expected = Buffer.from(hash, 'base64');
  const actual = await derive('argon2id', {
    message: password,
    nonce: Buffer.from(salt, 'base64'),
    memory: Number(memory),
    passes: Number(passes),
    parallelism: Number(parallelism),
    tagLength: expected.length,
  });
  return timingSafeEqual(actual, expected);
}

/** Costs what a check of a real password costs, so that an unknown user name is not answered faster. */
export async function verifyNothing(password: string): Promise<false> {
  await derive('argon2id', { message: password, nonce: Buffer.alloc(16, 1), ...COST });
  return false;
}

/** 24 characters that follow the rule; about 130 bits. */
export function randomPassword(): string {
  const alphabet = 'ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789';
  const body = Array.from({ length: 22 }, () => alphabet[randomInt(alphabet.length)]).join('');
  const password = `${body}-${randomInt(10)}`;
  return /[A-Z]/.test(body) && /[a-z]/.test(body) ? password : randomPassword();
}

const bare = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '');
