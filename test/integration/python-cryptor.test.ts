import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { generatePrivateKey, type PrivateKey, parsePublicKey } from '../../src/core/crypto/keys.ts';
import { decryptMessage, encryptMessage } from '../../src/core/crypto/message.ts';
import { runPython } from '../support/python-venv.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';

/** Inputs and results of vantage6 4.x are JSON; the Python side cannot open anything else since 4.5. */
const PAYLOADS = [
  '{"method": "average", "args": [], "kwargs": {"column": "age"}}',
  '1234',
  'null',
  '"räksmörgås \\u0000"',
  JSON.stringify({ rows: Array.from({ length: 20_000 }, (_, at) => at / 7) }),
];
const base64 = (text: string | Uint8Array) => Buffer.from(text).toString('base64');

let folder: TempFolder;
let ours: PrivateKey;
let answer: { public_key: string; encrypted: string[]; decrypted: string[] };

beforeAll(async () => {
  folder = await tempFolder();
  const made = await generatePrivateKey();
  ours = made.key;
  const file = path.join(folder.path, 'key.pem');
  await writeFile(file, made.pem, { mode: 0o600 });
  const texts = PAYLOADS.map((payload) => encryptMessage(Buffer.from(payload), ours.publicKey.key));
  answer = (await runPython('rsa_cryptor.py', {
    input: JSON.stringify({
      private_key_file: file,
      public_key: ours.publicKey.wire,
      payloads: PAYLOADS.map(base64),
      texts,
    }),
  })) as typeof answer;
});
afterAll(() => folder?.remove());

it('the Python RSACryptor opens what we encrypt', () => {
  expect(answer.decrypted).toEqual(PAYLOADS.map(base64));
});

it('we open what the Python RSACryptor encrypts', () => {
  const opened = answer.encrypted.map((text) =>
    Buffer.from(decryptMessage(text, ours.key, 'a text')).toString(),
  );
  expect(opened).toEqual(PAYLOADS);
});

it('Python makes the same bytes of our private key file for the server as we do', () => {
  expect(answer.public_key).toBe(ours.publicKey.wire);
  expect(parsePublicKey(answer.public_key, 'us').fingerprint).toBe(ours.publicKey.fingerprint);
});
