import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';

// OWASP's second choice for argon2id: 19 MiB, two passes, one lane; about 60 ms here.
const PARAMETERS = { memory: 19_456, passes: 2, parallelism: 1, tagLength: 32 } as const;
const PHC = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/;

interface Parameters {
  readonly memory: number;
  readonly passes: number;
  readonly parallelism: number;
  readonly tagLength: number;
}

function derive(password: string, nonce: Buffer, parameters: Parameters): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    argon2('argon2id', { message: password, nonce, ...parameters }, (error, tag) => {
      if (error) reject(error);
      else resolve(tag);
    });
  });
}

const bare = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '');

/** An argon2id hash as a PHC string (RFC 9106; the string format of the PHC). */
export async function hashPassword(password: string): Promise<string> {
  const nonce = randomBytes(16);
  const tag = await derive(password, nonce, PARAMETERS);
  const { memory, passes, parallelism } = PARAMETERS;
  return `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${bare(nonce)}$${bare(tag)}`;
}

/** Is this the password behind the hash? Takes as long without a hash (unknown account), and is false then. */
export async function verifyPassword(password: string, hash: string | undefined): Promise<boolean> {
  const match = hash === undefined ? null : PHC.exec(hash);
  if (!match) {
    await derive(password, randomBytes(16), PARAMETERS);
    return false;
  }
  const expected = Buffer.from(match[5] ?? '', 'base64');
  const tag = await derive(password, Buffer.from(match[4] ?? '', 'base64'), {
    memory: Number(match[1]),
    passes: Number(match[2]),
    parallelism: Number(match[3]),
    tagLength: expected.length,
  });
  return timingSafeEqual(tag, expected);
}
