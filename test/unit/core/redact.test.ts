import { describe, expect, it } from 'vitest';
import { redact, redactText } from '../../../src/core/redact.ts';

describe('redact', () => {
  it.each([
    ['-----BEGIN PRIVATE KEY-----\nabcSECRET\n-----END PRIVATE KEY-----'],
    ['dev tun\n<key>\nSECRET\n</key>\nremote x'],
    ['<tls-crypt>\nSECRET'],
    ['Authorization: Bearer SECRET.x-y_z'],
    ['GET /cb?code=SECRET&state=1'],
    ['userName=a&userPass=SECRET'],
    ['https://user:SECRET@vpn.example.org/'],
    ['token eyJhbGciOiJIUzI1NiJ9.eyJTRUNSRVQiOjF9.SECRET'],
  ])('removes the secret from %j', (text) => {
    expect(redactText(text)).not.toContain('SECRET');
  });

  it('removes fields by their name, at any depth, and looks into causes', () => {
    const error = new Error('failed with password=SECRET', { cause: new Error('Bearer SECRET') });
    const out = JSON.stringify(
      redact({
        a: [{ api_key: 'SECRET', client_secret: 'SECRET' }],
        error,
        portal_userpass: 'SECRET',
      }),
    );
    expect(out).not.toContain('SECRET');
  });

  it('keeps what is not secret', () => {
    expect(redact({ node: 'alpha', port: 49152 })).toEqual({ node: 'alpha', port: 49152 });
    expect(redactText('remote 10.0.0.1 1194 udp')).toBe('remote 10.0.0.1 1194 udp');
  });
});
