import { expect, it } from 'vitest';
import { encryptMessage } from '../../../../src/core/crypto/message.ts';
import { plainPayloads } from '../../../../src/node/encryption/payloads.ts';
import { keyPair } from '../../../fakes/key-pairs.ts';

it('without encryption, payloads are base64, and an encrypted text is an error', async () => {
  expect(await plainPayloads.seal(Buffer.from('{}'), 5)).toBe('e30=');
  expect(Buffer.from(plainPayloads.open('e30=', 'the input')).toString()).toBe('{}');
  const text = encryptMessage(Buffer.from('{}'), keyPair('own').key.publicKey.key);
  expect(() => plainPayloads.open(text, 'the input of run 4')).toThrow(
    expect.objectContaining({ code: 'V6_ENCRYPTION_UNREADABLE' }),
  );
});
