import { decodeBase64, looksEncrypted } from '../../core/crypto/message.ts';
import { V6Error } from '../../core/errors.ts';

/** Inputs and results between the server and the algorithms: as they travel, and as algorithms read them. */
export interface Payloads {
  /** Whether they travel encrypted. */
  readonly encrypted: boolean;
  /** Text → payload. Throws V6_ENCRYPTION_UNREADABLE; `what` names it, such as `the input of run 41`. */
  open(text: string, what: string): Uint8Array;
  /**
   * Payload → text for one organization. Throws V6_ENCRYPTION_KEY_* when its key cannot be used, and what the coordinator
   * throws.
   */
  seal(payload: Uint8Array, organization: number, signal?: AbortSignal): Promise<string>;
}

/** In a collaboration without encryption: base64 (vantage6-common 4.15, encryption.py, DummyCryptor). */
export const plainPayloads: Payloads = {
  encrypted: false,
  open(text, what) {
    const payload = looksEncrypted(text) ? undefined : decodeBase64(text.replaceAll(/\s/g, ''));
    if (payload !== undefined) return payload;
    throw new V6Error('V6_ENCRYPTION_UNREADABLE', `${capital(what)} is not plain base64`, {
      hints: ['The collaboration is not encrypted: whoever sends it must not encrypt.'],
    });
  },
  seal: async (payload) => Buffer.from(payload).toString('base64'),
};

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
