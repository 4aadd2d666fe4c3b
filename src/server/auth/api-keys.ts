import { createHmac, randomUUID } from 'node:crypto';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** A node's key: a version 4 UUID (122 random bits), shown once and stored as its digest. */
export const newApiKey = (): string => randomUUID();

export const isApiKey = (text: string): boolean => UUID.test(text);

/**
 * HMAC-SHA-256 of the key. A random key needs no slow hash; a keyed digest can be looked up by index, so that a login costs
 * the same with one node and with a thousand, and a stolen database gives no key away.
 */
export function apiKeyDigest(key: Buffer, apiKey: string): string {
  return createHmac('sha256', key).update(apiKey.toLowerCase()).digest('hex');
}
