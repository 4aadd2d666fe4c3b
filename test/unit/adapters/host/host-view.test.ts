import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createHostView, parseRoutes } from '../../../../src/adapters/host/host-view.ts';
import { createNetworkChoiceStore } from '../../../../src/adapters/host/network-choice-store.ts';
import { parseCidr } from '../../../../src/core/net/ipv4.ts';
import { type TempFolder, tempFolder } from '../../../support/temp-folder.ts';

let temp: TempFolder;
beforeEach(async () => {
  temp = await tempFolder();
});
afterEach(() => temp.remove());

const TABLE = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0102A8C0	0003	0	0	0	00000000	0	0	0
eth0	0002A8C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
tun9	00000080	00000000	0001	0	0	0	00000080	0	0	0
br0	0000CD0A	00000000	0001	0	0	0	0000FFFF	0	0	0
eth0	0502A8C0	00000000	0005	0	0	0	FFFFFFFF	0	0	0
`;

it('reads the routes of the kernel, without the default ones', () => {
  expect(parseRoutes(TABLE)).toEqual([
    { destination: '192.168.2.0/24', device: 'eth0' },
    { destination: '10.205.0.0/16', device: 'br0' },
    { destination: '192.168.2.5/32', device: 'eth0' },
  ]);
});

it('says that it cannot read routes, and does not take that for none', async () => {
  await expect(createHostView(temp.path).routes()).rejects.toMatchObject({
    code: 'V6_FIREWALL_READ',
  });
});

it('knows the addresses of this host', () => {
  expect(createHostView().addresses()).toContain('127.0.0.1');
});

it('keeps the chosen ranges; a damaged file is as good as none', async () => {
  const store = createNetworkChoiceStore(temp.path);
  expect(await store.find()).toBeUndefined();
  const choice = { isolatedRange: parseCidr('10.230.0.0/22', ''), uplinkSubnet: undefined };
  await store.save(choice);
  expect(await store.find()).toEqual(choice);
  expect(await readdir(temp.path)).toEqual(['networks.json']);
  await writeFile(path.join(temp.path, 'networks.json'), '{"isolatedRange":"nonsense"}');
  expect(await store.find()).toBeUndefined();
});
