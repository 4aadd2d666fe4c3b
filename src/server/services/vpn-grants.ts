import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { PortalTokens } from '../interfaces/portal-connector.ts';
import type { VpnGrantRecord } from '../interfaces/records.ts';
import type { Store } from '../interfaces/store.ts';

/** A grant with readable tokens. */
export interface Grant {
  readonly nodeId: number;
  readonly current: PortalTokens | undefined;
  readonly previous: PortalTokens | undefined;
  readonly profile: string | undefined;
  readonly expiresAt: Date | undefined;
}

/** Grants by node. */
export interface Grants {
  find(nodeId: number): Promise<Grant | undefined>;
  save(grant: Grant): Promise<void>;
}

/** Reads and writes grants; what is stored is encrypted with the key (32 bytes). */
export function grantsOf({ store, key }: { readonly store: Store; readonly key: Buffer }): Grants {
  return {
    find: async (nodeId) => {
      const record = await store.vpnGrants.find(nodeId);
      return (
        record && {
          nodeId,
          current: open(key, nodeId, record.current),
          previous: open(key, nodeId, record.previous),
          profile: record.profile ?? undefined,
          expiresAt: record.expiresAt ?? undefined,
        }
      );
    },
    save: async (grant) => {
      const record: VpnGrantRecord = {
        nodeId: grant.nodeId,
        current: seal(key, grant.nodeId, grant.current),
        previous: seal(key, grant.nodeId, grant.previous),
        profile: grant.profile ?? null,
        expiresAt: grant.expiresAt ?? null,
      };
      await store.vpnGrants.save(record);
    },
  };
}

/** AES-256-GCM; the node's id is authenticated too, so that a row cannot be moved to another node. */
function seal(key: Buffer, nodeId: number, tokens: PortalTokens | undefined): string | null {
  if (tokens === undefined) return null;
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(String(nodeId)));
  const text = Buffer.concat([cipher.update(JSON.stringify(tokens), 'utf8'), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), text]).toString('base64');
}

/** Undefined for what cannot be read any more: the node then gets a new authorization. */
function open(key: Buffer, nodeId: number, sealed: string | null): PortalTokens | undefined {
  if (sealed === null) return undefined;
  try {
    const bytes = Buffer.from(sealed, 'base64');
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12), {
      authTagLength: 16,
    })
      .setAAD(Buffer.from(String(nodeId)))
      .setAuthTag(bytes.subarray(12, 28));
    const text = Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]);
    const { accessToken, refreshToken, accessExpiresAt } = JSON.parse(text.toString()) as {
      accessToken: string;
      refreshToken: string;
      accessExpiresAt: string;
    };
    return { accessToken, refreshToken, accessExpiresAt: new Date(accessExpiresAt) };
  } catch {
    return undefined;
  }
}
