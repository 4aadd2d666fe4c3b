import { Secret, TOTP } from 'otpauth';

/** What an authenticator app shows for a secret at a time. */
export const codeOf = (secret: unknown, at: Date): string =>
  new TOTP({ secret: Secret.fromBase32(String(secret)) }).generate({ timestamp: at.getTime() });

/** The token that a mail carries. */
export function mailedToken(text: string | undefined): string {
  const token = /^[\w-]{43}$/m.exec(text ?? '')?.[0];
  if (token === undefined) throw new Error('no token in the mail');
  return token;
}
