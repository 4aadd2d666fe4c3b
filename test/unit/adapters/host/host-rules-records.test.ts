import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createHostRulesRecords } from '../../../../src/adapters/host/host-rules-records.ts';
import type { Cidr } from '../../../../src/core/net/ipv4.ts';
import type { HostRulesRecord } from '../../../../src/node/interfaces/host-firewall.ts';
import { type TempFolder, tempFolder } from '../../../support/temp-folder.ts';

const RECORD: HostRulesRecord = {
  wanted: {
    owner: 'user/alpha',
    uplink: { bridge: 'v6a1', subnet: '10.76.0.0/24' as Cidr },
    remotes: [{ address: '192.0.2.1', port: 443, protocol: 'tcp' }],
    localRemotes: [],
  },
  backend: 'iptables-legacy',
  places: ['table inet v6guard'],
  at: '2030-01-01T00:00:00.000Z',
};

let temp: TempFolder;
beforeEach(async () => {
  temp = await tempFolder();
});
afterEach(() => temp.remove());

describe('what a node wrote down of its host rules', () => {
  it('is read as it was written, and gone once removed', async () => {
    const records = createHostRulesRecords(path.join(temp.path, 'new'));
    expect(await records.find()).toBeUndefined();
    await records.save(RECORD);
    expect(await records.find()).toEqual(RECORD);
    await records.remove();
    await records.remove();
    expect(await records.find()).toBeUndefined();
  });

  it.each<[what: string, text: string]>([
    ['half a file', '{"wanted": {'],
    ['another back end', JSON.stringify({ ...RECORD, backend: 'ipfw' })],
    [
      'an owner that cannot be',
      JSON.stringify({ ...RECORD, wanted: { ...RECORD.wanted, owner: 'a"; drop' } }),
    ],
    [
      'a remote that cannot be',
      JSON.stringify({
        ...RECORD,
        wanted: { ...RECORD.wanted, remotes: [{ address: '$(x)', port: 1, protocol: 'udp' }] },
      }),
    ],
    [
      'an uplink that cannot be',
      JSON.stringify({
        ...RECORD,
        wanted: { ...RECORD.wanted, uplink: { bridge: 'v6a1', subnet: 'all' } },
      }),
    ],
    [
      'a bridge that cannot be',
      JSON.stringify({
        ...RECORD,
        wanted: { ...RECORD.wanted, uplink: { bridge: 'v6a1 -j ACCEPT', subnet: '10.76.0.0/24' } },
      }),
    ],
  ])('is as good as none with %s', async (_, text) => {
    await writeFile(path.join(temp.path, 'host-rules.json'), text);
    expect(await createHostRulesRecords(temp.path).find()).toBeUndefined();
  });
});
