import { beforeEach, describe, expect, it } from 'vitest';
import { type PrivateKey, parsePrivateKey } from '../../../../src/core/crypto/keys.ts';
import {
  type KeyFiles,
  type KeyRegistry,
  makePrivateKey,
  privateKeyFile,
} from '../../../../src/node/host/make-private-key.ts';
import { fingerprintOf, keyPair, publicKeyOf } from '../../../fakes/key-pairs.ts';

let held: string | undefined;
let files: KeyFiles;
let sent: string[];
beforeEach(() => {
  held = undefined;
  sent = [];
  files = {
    find: async () => (held === undefined ? undefined : parsePrivateKey(held, 'file')),
    write: async (_file, pem, { overwrite }) => {
      const backup = held !== undefined && overwrite ? 'backup' : null;
      held = pem;
      return { backup };
    },
  };
});

const registry = (publicKey: string): KeyRegistry => ({
  organization: 2,
  publicKey,
  register: async (wire) => {
    sent.push(wire);
  },
});
const make = (more: Partial<Parameters<typeof makePrivateKey>[1]> = {}) =>
  makePrivateKey(
    files,
    { file: 'file', overwrite: false, replaceRegistered: false, ...more },
    async () => keyPair('new'),
  );
const heldKey = (): PrivateKey => parsePrivateKey(held ?? '', 'file');

describe('the private key of an organization', () => {
  it('is made, and registered where the server has none', async () => {
    const made = await make({ registry: registry('') });
    expect(made).toMatchObject({ created: true, backup: null, registered: true });
    expect(made.fingerprint).toBe(heldKey().publicKey.fingerprint);
    expect(sent).toEqual([heldKey().publicKey.wire]);
  });

  it('that is there is used, and registered only where needed', async () => {
    held = keyPair('a').pem;
    expect(await make({ registry: registry(publicKeyOf('a')) })).toEqual({
      file: 'file',
      created: false,
      backup: null,
      fingerprint: fingerprintOf('a'),
      registered: true,
    });
    expect(sent).toEqual([]);
    await make({ registry: registry('') });
    expect(sent).toEqual([publicKeyOf('a')]);
  });

  it('takes the place of the one that it overwrites, here and at the server', async () => {
    held = keyPair('a').pem;
    const made = await make({ overwrite: true, registry: registry(publicKeyOf('a')) });
    expect(made).toMatchObject({ created: true, backup: 'backup', registered: true });
    expect(sent).toEqual([heldKey().publicKey.wire]);
    expect(heldKey().publicKey.fingerprint).not.toBe(fingerprintOf('a'));
  });

  it.each([false, true])(
    'does not replace a foreign key at the server, and writes nothing then (overwrite: %s)',
    async (overwrite) => {
      held = keyPair('a').pem;
      const options = { overwrite, registry: registry(publicKeyOf('other')) };
      await expect(make(options)).rejects.toMatchObject({ code: 'V6_ENCRYPTION_OWN_KEY' });
      expect([held, sent]).toEqual([keyPair('a').pem, []]);
      expect(await make({ ...options, replaceRegistered: true })).toMatchObject({
        registered: true,
      });
      expect(sent).toEqual([heldKey().publicKey.wire]);
    },
  );

  it('sends nothing without a server', async () => {
    expect(await make()).toMatchObject({ created: true, registered: false });
  });

  it('lies in a file of the name of the organization, which leads nowhere else', () => {
    expect(privateKeyFile('/k', 'North Sea')).toBe('/k/privkey_North Sea.pem');
    expect(privateKeyFile('/k', '../../etc/x\n')).toBe('/k/privkey_.._.._etc_x_.pem');
  });
});
