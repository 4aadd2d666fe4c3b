import { expect, it } from 'vitest';
import { listKeys, plannedPin } from '../../../../src/core/crypto/judge-keys.ts';
import { FakePins } from '../../../fakes/pins.ts';

const now = new Date('2030-01-01T00:00:00Z');
const [a, b, c] = ['aa', 'bb', 'cc'].map((two) => two.repeat(32)) as [string, string, string];

async function pins(): Promise<FakePins> {
  const store = new FakePins();
  await store.pinFirst({
    organization: 3,
    name: 'North',
    fingerprint: a,
    origin: 'first use',
    since: now,
  });
  await store.noteRefused({ organization: 3, name: 'North', fingerprint: b, at: now });
  await store.noteRefused({ organization: 5, name: 'East', fingerprint: b, at: now });
  return store;
}

it('lists what is trusted and what was refused, the configuration before the rest', async () => {
  const at = now.toISOString();
  expect(
    await listKeys(
      await pins(),
      new Map([
        [3, c],
        [7, c],
      ]),
    ),
  ).toEqual([
    {
      organization: 3,
      name: 'North',
      fingerprint: c,
      origin: 'configuration',
      since: null,
      refused: { fingerprint: b, at },
    },
    {
      organization: 5,
      name: 'East',
      fingerprint: null,
      origin: null,
      since: null,
      refused: { fingerprint: b, at },
    },
    {
      organization: 7,
      name: null,
      fingerprint: c,
      origin: 'configuration',
      since: null,
      refused: null,
    },
  ]);
});

it('takes the key that was refused last, or the one whose fingerprint is given', async () => {
  const store = await pins();
  const plan = (organization: number, fingerprint?: string) =>
    plannedPin(store, { organization, fingerprint, now });
  expect(await plan(3)).toEqual({
    organization: 3,
    name: 'North',
    fingerprint: b,
    origin: 'trusted',
    since: now,
  });
  expect(await plan(9, `SHA256:${c.toUpperCase()}`)).toMatchObject({
    organization: 9,
    fingerprint: c,
  });
  await expect(plan(9)).rejects.toMatchObject({ code: 'V6_USAGE' });
  await expect(plan(3, 'abc')).rejects.toMatchObject({ code: 'V6_USAGE' });
});
