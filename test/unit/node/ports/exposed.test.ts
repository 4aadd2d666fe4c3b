import { expect, it } from 'vitest';
import { exposedPorts } from '../../../../src/node/ports/exposed.ts';

it('offers every exposed port with its label, TCP and UDP apart', () => {
  const image = {
    exposedPorts: ['9000/udp', '8888/tcp', '8888/udp', '7/sctp', '0/tcp'],
    labels: { p8888: 'echo', p9000: '' },
  };
  expect(exposedPorts(image)).toEqual([
    { protocol: 'tcp', port: 8888, label: 'echo' },
    { protocol: 'udp', port: 8888, label: 'echo' },
    { protocol: 'udp', port: 9000, label: null },
  ]);
});

it('offers 8888/tcp without label when the image exposes nothing', () => {
  expect(exposedPorts({ exposedPorts: [], labels: { p8888: 'x' } })).toEqual([
    { protocol: 'tcp', port: 8888, label: null },
  ]);
});

it('leaves out a label that no server stores', () => {
  const image = { exposedPorts: ['1/tcp'], labels: { p1: 'x'.repeat(129) } };
  expect(exposedPorts(image)[0]?.label).toBeNull();
});
