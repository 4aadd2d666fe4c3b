import { describe, expect, it } from 'vitest';
import { addressWorkOf, listedAddresses } from '../../../../src/node/proxy/listed-addresses.ts';

const body = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
const tcp = { address: '10.76.0.2', protocol: 'tcp', port: 50_000 };
const udp = { ...tcp, protocol: 'udp' };

describe('answers that list addresses', () => {
  it.each([
    ['GET', '/vpn/algorithm/addresses?include_children=True', 'family'],
    ['GET', '/vpn/algorithm/addresses/', 'family'],
    ['POST', '/vpn/algorithm/addresses', 'none'],
    ['GET', '/task/7/result', 'any'],
    ['GET', '/run?task_id=7', 'any'],
    ['GET', '/run/9', 'any'],
    ['GET', '/result?task_id=7', 'none'],
    ['GET', '/task/7', 'none'],
  ])('%s %s: %s', (method, target, work) => {
    expect(addressWorkOf(method, target)).toBe(work);
  });

  it('are read in every form that servers and clients have', () => {
    const run = { node: { ip: '10.76.0.2' }, ports: [{ port: 50_000 }] };
    expect(
      listedAddresses(body({ addresses: [{ ip: '10.76.0.2', port: 50_000, protocol: 'tcp' }] })),
    ).toEqual([tcp]);
    expect(listedAddresses(body({ addresses: [{ ip: '10.76.0.2', port: 50_000 }] }))).toEqual([
      tcp,
      udp,
    ]);
    for (const answer of [run, [run], { data: [run], links: {} }])
      expect(listedAddresses(body(answer))).toEqual([tcp, udp]);
  });

  it('hold nothing else', () => {
    const bad = [
      { ip: null, port: 1 },
      { ip: '10.76.0.2', port: 0 },
      { ip: "10.76.0.2'", port: 1 },
      { ip: '10.76.0.2', port: '1' },
      7,
    ];
    expect(listedAddresses(body({ addresses: bad }))).toEqual([]);
    expect(listedAddresses(body({ data: [{ node: {}, ports: [{ port: 1 }] }] }))).toEqual([]);
    expect(listedAddresses(Buffer.from('no JSON'))).toEqual([]);
    expect(listedAddresses(body(null))).toEqual([]);
  });
});
