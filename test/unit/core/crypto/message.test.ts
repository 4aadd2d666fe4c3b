import { constants, createCipheriv, generateKeyPairSync, publicEncrypt } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeBase64,
  decryptMessage,
  encryptMessage,
  looksEncrypted,
} from '../../../../src/core/crypto/message.ts';

const own = generateKeyPairSync('rsa', { modulusLength: 2048 });
const other = generateKeyPairSync('rsa', { modulusLength: 2048 });
const UNREADABLE = { code: 'V6_ENCRYPTION_UNREADABLE' };
const open = (text: string, key = own.privateKey) =>
  Buffer.from(decryptMessage(text, key, 'the text'));
const wrap = (block: Uint8Array) =>
  publicEncrypt({ key: own.publicKey, padding: constants.RSA_PKCS1_PADDING }, block);
const join = (...parts: Uint8Array[]) =>
  parts.map((part) => Buffer.from(part).toString('base64')).join('$');

const KEY = Uint8Array.from({ length: 32 }, (_, at) => at);
const COUNTER = Uint8Array.from({ length: 16 }, (_, at) => 0xf0 + at);
const cipher = (payload: Uint8Array | string) =>
  createCipheriv('aes-256-ctr', KEY, COUNTER).update(Buffer.from(payload));

describe('an encrypted text', () => {
  it('has three parts: wrapped key, counter block, content of the length of the payload', () => {
    const text = encryptMessage(Buffer.from('{"a": 1}'), own.publicKey);
    const parts = text.split('$').map((part) => decodeBase64(part)?.length);
    expect(parts).toEqual([256, 16, 8]);
    expect(looksEncrypted(text)).toBe(true);
    expect(looksEncrypted(Buffer.from('{"a": 1}').toString('base64'))).toBe(false);
  });

  it('opens to the payload, whatever the payload is', () => {
    const payloads = fc.oneof(
      fc.json().map((text) => Buffer.from(text)),
      fc.uint8Array({ maxLength: 3000 }).map((bytes) => Buffer.from([0x80, ...bytes])),
    );
    fc.assert(
      fc.property(payloads, (payload) => {
        expect(open(encryptMessage(payload, own.publicKey))).toEqual(payload);
      }),
      { numRuns: 60 },
    );
  });

  it('never repeats itself', () => {
    const payload = Buffer.from('{}');
    expect(encryptMessage(payload, own.publicKey)).not.toBe(encryptMessage(payload, own.publicKey));
  });

  it('has the bytes of the known test vector', () => {
    expect(cipher('{"a": 1}').toString('base64')).toBe('6SKsrxm2sbY=');
    expect(open(join(wrap(KEY), COUNTER, decodeBase64('6SKsrxm2sbY=') ?? KEY)).toString()).toBe(
      '{"a": 1}',
    );
  });

  it('of the web interface is opened: its key and its payload are base64 once more', () => {
    const key = Buffer.from(Buffer.from(KEY).toString('base64'));
    const payload = Buffer.from('{"method": "räksmörgås"}').toString('base64');
    expect(open(join(wrap(key), COUNTER, cipher(payload))).toString()).toBe(
      '{"method": "räksmörgås"}',
    );
  });

  it('keeps a payload that could be base64 but is JSON, and one that is neither', () => {
    for (const payload of ['1234', 'true', 'null', 'word', '', '"MTIz"'])
      expect(open(encryptMessage(Buffer.from(payload), own.publicKey)).toString()).toBe(payload);
  });
});

describe('a text that cannot be opened', () => {
  const good = encryptMessage(Buffer.from('{"secret": 42}'), own.publicKey);
  const [wrapped = '', counter = '', content = ''] = good.split('$');

  it('is one error, whatever is wrong with it', () => {
    const cases = {
      'for another key': encryptMessage(Buffer.from('{}'), other.publicKey),
      'not encrypted': Buffer.from('{"secret": 42}').toString('base64'),
      'no text': '',
      'a part missing': `${wrapped}$${counter}`,
      'a part more': `${good}$AAAA`,
      'not base64': `${wrapped}$${counter}$***`,
      'a short counter': `${wrapped}$AAAA$${content}`,
      'a short block': `AAAA$${counter}$${content}`,
      'no block': `$${counter}$${content}`,
      'a key of 31 bytes': join(wrap(KEY.subarray(1)), COUNTER, cipher('{}')),
      'a key of 33 bytes': join(wrap(Uint8Array.of(1, ...KEY)), COUNTER, cipher('{}')),
      'a word as long as a key in base64': join(wrap(Buffer.alloc(44, '!')), COUNTER, cipher('{}')),
    };
    for (const [name, text] of Object.entries(cases))
      expect(() => open(text), name).toThrow(expect.objectContaining(UNREADABLE));
  });

  it('is found out by its block, wherever that was changed', () => {
    const block = decodeBase64(wrapped) ?? Buffer.alloc(0);
    fc.assert(
      fc.property(fc.nat(block.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = Buffer.from(block);
        changed[at] = (changed[at] ?? 0) ^ flip;
        const text = `${changed.toString('base64')}$${counter}$${content}`;
        expect(() => open(text)).toThrow(expect.objectContaining(UNREADABLE));
      }),
      { numRuns: 200 },
    );
  });

  it('does not say what is in it or why', () => {
    const wrongKey = (() => {
      try {
        return open(good, other.privateKey).toString();
      } catch (error) {
        return (error as Error).message;
      }
    })();
    expect(wrongKey).toBe('The private key does not open the text');
  });
});
