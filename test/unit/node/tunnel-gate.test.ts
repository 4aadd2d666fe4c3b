import { expect, it } from 'vitest';
import { V6Error } from '../../../src/core/errors.ts';
import { NodeWorld } from '../../fakes/node-world.ts';

const never = new AbortController().signal;

it('sends only the newest address, and asks again while the server is away', async () => {
  const { vpn, gate, coordinator, clock, settle } = await world();
  coordinator.isAway = true;
  vpn.up('10.206.0.5');
  await settle();
  vpn.up('10.206.0.6');
  const acknowledged = gate.acknowledged(never);
  coordinator.isAway = false;
  await clock.turn(1000);
  await settle();
  expect(await acknowledged).toBe('10.206.0.6');
  expect(coordinator.journal).toEqual(['address 10.206.0.6']);
});

it('takes the address back when the tunnel goes down', async () => {
  const { vpn, gate, coordinator, settle } = await world();
  vpn.up('10.206.0.5');
  await settle();
  await vpn.disconnect();
  await settle();
  expect(coordinator.address).toBeNull();
  expect(await gate.acknowledged(never)).toBeUndefined();
});

it('keeps the address for the few seconds in which a tunnel is made anew', async () => {
  const { vpn, gate, coordinator, clock, settle } = await world();
  vpn.up('10.206.0.5');
  await settle();
  vpn.down();
  await clock.turn(4999);
  vpn.down();
  vpn.up('10.206.0.5');
  await clock.turn(60_000);
  expect(new Set(coordinator.journal)).toEqual(new Set(['address 10.206.0.5']));
  vpn.down();
  await clock.turn(5000);
  await settle();
  expect(coordinator.address).toBeNull();
  expect(await gate.acknowledged(never)).toBeUndefined();
});

it('lets a run that starts meanwhile wait until it is known whether the tunnel comes back', async () => {
  const { vpn, gate, clock, settle } = await world();
  vpn.up('10.206.0.5');
  await settle();
  vpn.down();
  const answers: (string | undefined)[] = [];
  void gate.acknowledged(never).then((address) => answers.push(address));
  await settle();
  expect(answers).toEqual([]);
  vpn.up('10.206.0.6');
  await settle();
  expect(answers).toEqual(['10.206.0.6']);
  vpn.down();
  void gate.acknowledged(never).then((address) => answers.push(address));
  await clock.turn(5000);
  await settle();
  expect(answers).toEqual(['10.206.0.6', undefined]);
});

it('lets runs wait for the first verdict, and no longer than a minute', async () => {
  const { gate, clock, settle } = await world();
  let isReady = false;
  const ready = gate.ready(never).then(() => {
    isReady = true;
    return isReady;
  });
  await settle();
  await clock.turn(59_000);
  expect(isReady).toBe(false);
  await clock.turn(1000);
  expect(await ready).toBe(true);
  await gate.ready(never);
});

it('gives up on a server that is away at the end', async () => {
  const { gate, vpn, coordinator, settle } = await world();
  vpn.up('10.206.0.5');
  await settle();
  coordinator.isAway = true;
  expect(await gate.clear(10)).toBe(false);
});

it('takes an address back at the end that the server has not acknowledged yet', async () => {
  const { gate, vpn, coordinator, settle } = await world();
  vpn.up('10.206.0.5');
  await settle();
  await vpn.disconnect();
  await settle();
  const setAddress = coordinator.vpn.setAddress.bind(coordinator.vpn);
  Object.assign(coordinator.vpn, {
    setAddress: async (address: string | null) => {
      await setAddress(address, never);
      if (address !== null) await new Promise(() => undefined);
    },
  });
  vpn.up('10.206.0.6');
  await settle();
  expect(coordinator.address).toBe('10.206.0.6');
  expect(await gate.clear(10)).toBe(true);
  expect(coordinator.address).toBeNull();
});

it.each([
  ['failed', 'V6_SERVER_REFUSED', 500],
  // The web server before it, while it is being replaced.
  ['was not reached', 'V6_SERVER_ANSWER', 404],
] as const)(
  'tells the address again to a server that %s, and lets runs go on meanwhile',
  async (_, code, status) => {
    const { gate, vpn, coordinator, clock, settle } = await world();
    const setAddress = coordinator.vpn.setAddress.bind(coordinator.vpn);
    const failure = new V6Error(code, 'no', { details: { status } });
    Object.assign(coordinator.vpn, { setAddress: () => Promise.reject(failure) });
    let ups = 0;
    gate.onUp(() => {
      ups += 1;
    });
    vpn.up('10.206.0.5');
    await settle();
    expect(await gate.acknowledged(never)).toBeUndefined();
    Object.assign(coordinator.vpn, { setAddress });
    await clock.turn(60_000);
    await settle();
    expect(coordinator.address).toBe('10.206.0.5');
    expect([ups, await gate.acknowledged(never)]).toEqual([1, '10.206.0.5']);
  },
);

async function world() {
  const node = new NodeWorld();
  const { vpn, gate, coordinator, clock } = node;
  return { vpn, gate, coordinator, clock, settle: () => node.settle() };
}
