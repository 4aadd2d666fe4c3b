import { describe, expect, it } from 'vitest';
import { decryptMessage, encryptMessage } from '../../../../src/core/crypto/message.ts';
import type { Payloads } from '../../../../src/node/encryption/payloads.ts';
import {
  bodyWorkOf,
  decryptResults,
  encryptTask,
} from '../../../../src/node/proxy/encrypted-bodies.ts';
import { keyPair } from '../../../fakes/key-pairs.ts';

const { signal } = new AbortController();
const own = keyPair('own').key;
const other = keyPair('other').key;
const payloads: Payloads = {
  encrypted: true,
  open: (text, what) => decryptMessage(text, own.key, what),
  seal: async (payload, organization) =>
    encryptMessage(payload, (organization === 2 ? own : other).publicKey.key),
};
const base64 = (text: string) => Buffer.from(text).toString('base64');
const forUs = (text: string) => encryptMessage(Buffer.from(text), own.publicKey.key);
const open = (body: unknown) =>
  JSON.parse(decryptResults(Buffer.from(JSON.stringify(body)), payloads).toString()) as unknown;
const encrypt = (body: unknown) =>
  encryptTask(
    Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
    payloads,
    signal,
  );

describe('what the proxy does to a request in an encrypted collaboration', () => {
  it.each([
    ['POST', '/task', 'task'],
    ['POST', '/task/', 'task'],
    ['POST', '/task?x=1', 'task'],
    ['GET', '/task', 'none'],
    ['GET', '/task/4', 'none'],
    ['GET', '/task/4/status', 'none'],
    ['GET', '/task/4?include=results', 'results'],
    ['GET', '/task?include=runs,results', 'results'],
    ['GET', '/task/4/result', 'results'],
    ['GET', '/result?task_id=4', 'results'],
    ['GET', '/result/9', 'results'],
    ['GET', '/run?task_id=4', 'none'],
    ['GET', '/organization', 'none'],
    ['GET', '/blobstream/status', 'none'],
    ['POST', '/blobstream', 'blob'],
    ['GET', '/blobstream/7d4f', 'blob'],
  ])('%s %s: %s', (method, target, work) => {
    expect(bodyWorkOf(method, target)).toBe(work);
  });

  it('encrypts each input for its organization, and changes nothing else of the task', async () => {
    const task = {
      name: 'sub',
      image: 'echo:1',
      organizations: [
        { id: 2, input: base64('{"a":1}') },
        { id: 5, input: base64('{"a":2}'), more: true },
      ],
    };
    const sent = JSON.parse((await encrypt(task)).toString()) as typeof task;
    const [first, second] = sent.organizations.map(({ input }) => input);
    expect(Buffer.from(decryptMessage(first ?? '', own.key, '')).toString()).toBe('{"a":1}');
    expect(Buffer.from(decryptMessage(second ?? '', other.key, '')).toString()).toBe('{"a":2}');
    expect(sent).toMatchObject({
      name: 'sub',
      image: 'echo:1',
      organizations: [{ id: 2 }, { id: 5, more: true }],
    });
  });

  it.each([
    'no json',
    [],
    {},
    { organizations: [1] },
    { organizations: [{ id: '2', input: 'e30=' }] },
    { organizations: [{ id: 2 }] },
    { organizations: [{ id: 2, input: 'a$b$c' }] },
  ])('refuses a task that it cannot encrypt: %j', async (body) => {
    await expect(encrypt(body)).rejects.toMatchObject({ code: 'V6_REQUEST_INVALID' });
  });

  it('decrypts results in a page, alone, in a bare list, and in tasks', () => {
    const result = { id: 9, result: forUs('[1]'), blob_storage_used: false };
    const plain = { ...result, result: base64('[1]') };
    expect(
      open({ data: [result, { ...result, result: '' }, { id: 8, result: null }], links: {} }),
    ).toEqual({ data: [plain, { ...result, result: '' }, { id: 8, result: null }], links: {} });
    expect(open(result)).toEqual(plain);
    expect(open([result])).toEqual([plain]);
    expect(open({ id: 4, results: [result] })).toEqual({ id: 4, results: [plain] });
    expect(open({ id: 4, results: '/api/result?task_id=4' })).toEqual({
      id: 4,
      results: '/api/result?task_id=4',
    });
  });

  it('fails on a result that it cannot decrypt, and names it', () => {
    const strange = encryptMessage(Buffer.from('[1]'), other.publicKey.key);
    for (const text of [strange, base64('[1]'), 'x'])
      expect(() => open({ data: [{ id: 9, result: text }] })).toThrow(
        expect.objectContaining({
          code: 'V6_ENCRYPTION_UNREADABLE',
          message: expect.stringContaining('the result of run 9'),
        }),
      );
  });
});
