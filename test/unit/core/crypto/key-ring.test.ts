import { beforeEach, describe, expect, it } from 'vitest';
import { KeyRing } from '../../../../src/core/crypto/key-ring.ts';
import { decryptMessage } from '../../../../src/core/crypto/message.ts';
import { silentLogger } from '../../../../src/core/logger.ts';
import { FakeCoordinator } from '../../../fakes/coordinator.ts';
import { fingerprintOf, keyPair, publicKeyOf } from '../../../fakes/key-pairs.ts';
import { ManualClock } from '../../../fakes/manual-clock.ts';
import { FakePins } from '../../../fakes/pins.ts';

const OWN = 2;
const signal = new AbortController().signal;
let coordinator: FakeCoordinator;
let pins: FakePins;
let ring: KeyRing;

beforeEach(() => {
  coordinator = new FakeCoordinator();
  pins = new FakePins();
  ring = new KeyRing({
    own: OWN,
    organizations: coordinator.organizations,
    privateKey: keyPair('own').key,
    pins,
    rules: { pinned: new Map(), trustOnFirstUse: true, trustCommand: 'v6 node keys trust' },
    clock: new ManualClock(),
    logger: silentLogger,
  });
});

describe('the own key', () => {
  it('is registered where the server has none', async () => {
    coordinator.setKey(OWN, '', 'North');
    await ring.register();
    expect(coordinator.known.get(OWN)?.publicKey).toBe(publicKeyOf('own'));
    await ring.register();
    expect(coordinator.journal.filter((call) => call.startsWith('key of'))).toHaveLength(1);
  });

  it.each([
    ['another key', 'other'],
    ['no key at all', undefined],
  ])('never replaces %s of the server', async (_what, name) => {
    const registered = name === undefined ? 'bm8ga2V5' : publicKeyOf(name);
    coordinator.setKey(OWN, registered, 'North');
    await expect(ring.register()).rejects.toMatchObject({ code: 'V6_ENCRYPTION_OWN_KEY' });
    expect(coordinator.known.get(OWN)?.publicKey).toBe(registered);
  });

  it('is noticed when the server swaps it, and when it is back', async () => {
    coordinator.setKey(OWN, publicKeyOf('own'));
    await ring.checkOwn(signal);
    expect(ring.status()).toEqual({
      fingerprint: fingerprintOf('own'),
      ownKey: 'registered',
      refused: [],
    });
    coordinator.setKey(OWN, publicKeyOf('other'));
    await ring.checkOwn(signal);
    expect(ring.status().ownKey).toBe('replaced');
    coordinator.isAway = true;
    await ring.checkOwn(signal);
    expect(ring.status().ownKey).toBe('replaced');
    coordinator.isAway = false;
    coordinator.setKey(OWN, publicKeyOf('own'));
    await ring.checkOwn(signal);
    expect(ring.status().ownKey).toBe('registered');
  });

  it('is what we encrypt for ourselves with, whatever the server has', async () => {
    coordinator.setKey(OWN, publicKeyOf('other'));
    const text = await ring.seal(Buffer.from('{}'), OWN);
    expect(Buffer.from(ring.open(text, 'it')).toString()).toBe('{}');
  });
});

describe('keys of others', () => {
  it('are pinned at their first use; another one is refused, by its name, until it is trusted', async () => {
    coordinator.setKey(5, publicKeyOf('five'), 'Five\u001b[31m');
    const text = await ring.seal(Buffer.from('"x"'), 5);
    expect(Buffer.from(decryptMessage(text, keyPair('five').key.key, 'it')).toString()).toBe('"x"');
    coordinator.setKey(5, publicKeyOf('other'));
    await expect(ring.seal(Buffer.from('"x"'), 5)).rejects.toMatchObject({
      code: 'V6_ENCRYPTION_KEY_CHANGED',
      message: expect.stringContaining('organization 5 (Five'),
    });
    expect(ring.status().refused).toMatchObject([
      { organization: 5, code: 'V6_ENCRYPTION_KEY_CHANGED' },
    ]);
    expect(JSON.stringify(ring.status())).not.toContain('\\u001b');
    await pins.trust({ ...(await pins.list())[0], fingerprint: fingerprintOf('other') } as never);
    await ring.seal(Buffer.from('"x"'), 5);
    expect(ring.status().refused).toEqual([]);
  });

  it('that are missing or none are an error of their own', async () => {
    coordinator.setKey(5, '');
    await expect(ring.seal(Buffer.from('{}'), 5)).rejects.toMatchObject({
      code: 'V6_ENCRYPTION_KEY_INVALID',
    });
    expect(ring.status().refused).toMatchObject([{ code: 'V6_ENCRYPTION_KEY_INVALID' }]);
  });
});
