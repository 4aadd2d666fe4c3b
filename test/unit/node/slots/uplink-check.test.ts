import { describe, expect, it } from 'vitest';
import { parseCidr } from '../../../../src/core/net/ipv4.ts';
import { uplinkNetwork } from '../../../../src/node/slots/slot-plan.ts';
import { checkUplink } from '../../../../src/node/slots/uplink-check.ts';
import { FakeEngine } from '../../../fakes/engine.ts';

const ownUplink = uplinkNetwork(
  { scope: 'user', node: 'alpha' },
  parseCidr('10.206.0.0/24', 'uplink'),
);
const { name: uplink, bridge } = ownUplink;
const everything = async () => new Set(['lo', bridge]);
const noBridge = async () => new Set(['lo']);

describe('the uplink', () => {
  it('is left alone while it and its bridge are there, or where the host cannot be asked', async () => {
    const { networks } = new FakeEngine();
    await networks.ensure(ownUplink);
    for (const links of [everything, async () => undefined])
      expect(await checkUplink(networks, links, { uplink, ownUplink })).toEqual([]);
  });

  it('is made again when it is gone, and when its bridge is', async () => {
    const { networks } = new FakeEngine();
    expect(await checkUplink(networks, everything, { uplink, ownUplink })).toMatchObject([
      { found: 'missing' },
    ]);
    const before = (await networks.find(uplink))?.id;
    expect(await checkUplink(networks, noBridge, { uplink, ownUplink })).toMatchObject([
      { what: `uplink network ${uplink}`, found: `without its bridge ${bridge}` },
    ]);
    expect((await networks.find(uplink))?.id).not.toBe(before);
  });

  it('of somebody else is told of, with what to do', async () => {
    const { networks } = new FakeEngine();
    const told = async () => (await checkUplink(networks, noBridge, { uplink }))[0]?.failure;
    const create = `Create it: docker network create ${uplink}`;
    expect(await told()).toMatchObject({ code: 'V6_CONFIG_INVALID', hints: [create] });
    await networks.ensure(ownUplink);
    expect(await told()).toMatchObject({
      hints: [`Remove what is left of it: docker network rm ${uplink}`, create],
    });
  });
});
