import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createHostRulesRecords } from '../../../../src/adapters/host/host-rules-records.ts';
import type { Logger } from '../../../../src/core/logger.ts';
import type { HostRules } from '../../../../src/core/net/host-rules.ts';
import type { Cidr } from '../../../../src/core/net/ipv4.ts';
import { HostContainer } from '../../../../src/node/host-rules/host-container.ts';
import { createHostFirewall } from '../../../../src/node/host-rules/host-firewall.ts';
import { NodeHostRules } from '../../../../src/node/host-rules/node-rules.ts';
import { FakeEngine } from '../../../fakes/engine.ts';
import { ManualClock } from '../../../fakes/manual-clock.ts';
import { type TempFolder, tempFolder } from '../../../support/temp-folder.ts';

const KEEPER = 'vantage6-alpha-user-host-rules';
const WANTED: HostRules = {
  owner: 'user/alpha',
  uplink: { bridge: 'v6a1', subnet: '10.76.0.0/24' as Cidr },
  remotes: [{ address: '192.0.2.1', port: 1194, protocol: 'udp' }],
  localRemotes: [],
};
const FILTER = `*filter
:FORWARD DROP [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER-USER -j DROP
COMMIT`;
const NOTHING = '{"nftables": []}';
const CHAINS = JSON.stringify({
  nftables: [
    { chain: { family: 'ip', table: 'filter', name: 'DOCKER-USER' } },
    { chain: { family: 'ip', table: 'nat', name: 'POSTROUTING' } },
  ],
});
const NAT = '-A POSTROUTING -s 10.76.0.0/24 ! -o v6a1 -j MASQUERADE';

let temp: TempFolder;
beforeEach(async () => {
  temp = await tempFolder();
});
afterEach(() => temp.remove());

/** A host as its shell shows it. `answer` overrides: lines, or a status that the command ends with, or the shell dies. */
function world(answer: (command: string) => string | number | undefined = () => undefined) {
  const commands: string[] = [];
  const warnings: string[] = [];
  const usual = (command: string): string => {
    if (command.includes('bridge-nf-call-iptables')) return '1';
    if (command.startsWith('nft -j list chains')) return CHAINS;
    if (command.includes('-save -t nat')) return NAT;
    if (command.startsWith('iptables-nft-save')) return FILTER;
    if (command.startsWith('nft -j')) return NOTHING;
    if (command.startsWith('for a in')) return '192.0.2.1 via 10.0.0.1 dev eth0 src 10.0.0.2';
    return '';
  };
  const engine: FakeEngine = new FakeEngine({
    images: ['vpn:1'],
    stream: (container, line) => {
      const [, command = '', marker] =
        /^\{ (.*); \} <\/dev\/null .*(v6-end-\d+) %s/.exec(line) ?? [];
      if (marker === undefined) return [];
      commands.push(command);
      const found = answer(command) ?? usual(command);
      if (found === 'dies') {
        engine.end(container, 137);
        return [];
      }
      const [text, status] = typeof found === 'number' ? ['it said no', found] : [found, 0];
      return [...text.split('\n'), `${marker} ${status}`];
    },
  });
  const logger = { warn: (text: string) => warnings.push(text) } as unknown as Logger;
  const records = createHostRulesRecords(temp.path);
  const container = new HostContainer({ engine, image: 'vpn:1', scope: 'user', node: 'alpha' });
  const clock = new ManualClock();
  const firewall = createHostFirewall({ engine, container, records, clock, logger });
  const writes = () => commands.filter((command) => command.startsWith("printf '%s"));
  return { engine, firewall, commands, writes, warnings, records };
}

describe('the host firewall', () => {
  it('works in a container with the host’s network, NET_ADMIN and nothing of the engine', async () => {
    const { firewall, engine } = world();
    await firewall.inspect();
    expect(engine.specOf(KEEPER)).toMatchObject({
      networkMode: 'host',
      capabilities: ['NET_ADMIN'],
      readOnlyRoot: true,
      mounts: [],
      restart: 'unless-stopped',
      memoryBytes: 256 * 1024 * 1024,
      pids: 64,
    });
    await firewall.close();
    expect(engine.held().containers).toEqual([]);
  });

  it('names the host’s devices, once it has seen that bridges of ours are among them', async () => {
    let devices = 'lo\neth0';
    const { firewall } = world((command) => (command.includes('/sys/class') ? devices : undefined));
    expect(await firewall.links()).toBeUndefined();
    devices = 'lo\neth0\nv6z0123456789a';
    expect(await firewall.links()).toEqual(new Set(['lo', 'eth0', 'v6z0123456789a']));
    devices = 'lo\neth0';
    expect(await firewall.links()).toEqual(new Set(['lo', 'eth0']));
  });

  it('runs no tool of iptables where the kernel has none of its tables', async () => {
    const { firewall, commands } = world((command) =>
      command.startsWith('nft -j list chains') ? NOTHING : undefined,
    );
    expect((await firewall.inspect()).backend).toBe('none');
    expect(commands.filter((command) => command.includes('iptables-'))).toEqual([]);
  });

  it('guards a host whose filter table iptables cannot read, and puts nothing there', async () => {
    const { firewall, writes } = world((command) =>
      command.startsWith('iptables-nft-save -t filter')
        ? '# Table `filter` is incompatible, use nft.'
        : undefined,
    );
    await firewall.apply(WANTED);
    expect(writes()).toHaveLength(1);
    expect((await firewall.inspect()).evidence.at(-1)).toContain('cannot read its own filter');
  });

  it('goes to a container that can run iptables-legacy where its tables are', async () => {
    const { firewall, engine, commands } = world((command) => {
      if (command.includes('ip_tables_names')) return 'filter\nnat';
      if (command.startsWith('nft -j list chains')) return NOTHING;
      return command.startsWith('iptables-legacy-save -t filter') ? FILTER : undefined;
    });
    const { backend } = await firewall.apply(WANTED);
    expect(backend).toBe('iptables-legacy');
    expect(engine.specOf(KEEPER)).toMatchObject({
      capabilities: ['NET_ADMIN', 'NET_RAW'],
      mounts: [{ source: '/run/xtables.lock', target: '/run/xtables.lock' }],
    });
    expect(commands.some((command) => command.includes('iptables-nft'))).toBe(false);
    expect(commands.at(-2)).toMatch(/\| iptables-legacy-restore --noflush -w 5$/);
  });

  it('writes down what it will put there before it does, and forgets it with the rules', async () => {
    let atWrite: unknown;
    const { firewall, records } = world((command) => {
      if (command.startsWith("printf '%s")) atWrite ??= records.find();
      return undefined;
    });
    await firewall.apply(WANTED);
    expect(await atWrite).toEqual({
      wanted: WANTED,
      backend: 'iptables-nft',
      places: ['table inet v6guard', 'iptables-nft filter V6-FORWARD'],
      at: '2030-01-01T00:00:00.000Z',
    });
    await firewall.undo(WANTED.owner);
    expect(await records.find()).toBeUndefined();
  });

  it('changes things under the lock, each tool once, and lets go of the lock when that fails', async () => {
    const { firewall, commands, writes } = world((command) =>
      command.includes('iptables-nft-restore') ? 4 : undefined,
    );
    await expect(firewall.apply(WANTED)).rejects.toMatchObject({
      code: 'V6_FIREWALL_APPLY',
      message: 'Could not apply the rules of v6 on this host: it said no',
    });
    expect(writes().map((command) => command.split(' | ').at(-1))).toEqual([
      'nft -f -',
      'iptables-nft-restore --noflush',
    ]);
    expect(commands[0]).toContain('flock');
    expect(commands.at(-1)).toBe('exec 9<&-');
    const [drift] = await firewall.reconcile(WANTED);
    expect(drift).toMatchObject({ failure: expect.any(Error) as Error });
  });

  it('begins again from the start when the container dies in the middle', async () => {
    let deaths = 0;
    const { firewall, writes, commands } = world((command) => {
      if (!command.includes('nft -f -') || deaths > 0) return undefined;
      deaths += 1;
      return 'dies';
    });
    await firewall.inspect();
    await firewall.apply(WANTED);
    expect(commands.filter((command) => command.includes('flock'))).toHaveLength(2);
    expect(writes().filter((command) => command.endsWith('nft -f -'))).toHaveLength(2);
  });

  it('warns once of a drop that it cannot overrule, and again when it comes back', async () => {
    let rules = FILTER.replace('-A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-FORWARD\n', '');
    const { firewall, warnings } = world((command) =>
      command.startsWith('iptables-nft-save -t filter') ? rules : undefined,
    );
    await firewall.apply(WANTED);
    await firewall.reconcile(WANTED);
    expect(warnings).toEqual([
      'A rule of this host drops VPN traffic between an algorithm and the VPN client',
      'A rule of this host drops VPN traffic from the VPN client to 192.0.2.1:1194/udp',
      'A rule of this host drops VPN traffic from 192.0.2.1:1194/udp to the VPN client',
    ]);
    const dropping = rules;
    rules = FILTER;
    await firewall.reconcile(WANTED);
    rules = dropping;
    await firewall.reconcile(WANTED);
    expect(warnings).toHaveLength(6);
  });
});

describe('a masquerade of ours', () => {
  const flushed = (command: string): string | undefined =>
    command.includes('-save -t nat') ? '' : undefined;

  it('stands in for the engine’s while that is gone', async () => {
    const { firewall, writes } = world(flushed);
    const { changes } = await firewall.apply(WANTED);
    expect(changes.at(-1)).toMatchObject({ action: 'add', what: 'masquerade' });
    expect(writes().at(-1)).toContain(
      'ip saddr 10.76.0.0/24 oifname != "v6a1" counter masquerade comment "v6 user/alpha"',
    );
  });

  it('is none where the engine’s stands, without a tunnel, and on an uplink that the administrator made', async () => {
    const wished = async (wanted: HostRules, answer = flushed) =>
      (await world(answer).firewall.apply(wanted)).changes.map(({ what }) => what);
    expect(await wished(WANTED, () => undefined)).not.toContain('masquerade');
    expect(await wished({ ...WANTED, remotes: [] })).not.toContain('masquerade');
    const uplink = { bridge: 'br-0123', subnet: '10.76.0.0/24' as Cidr };
    expect(await wished({ ...WANTED, uplink })).not.toContain('masquerade');
  });

  it('is done without on a kernel that cannot do it', async () => {
    const { firewall, warnings } = world((command) =>
      command.includes('masquerade') ? 1 : flushed(command),
    );
    await firewall.apply(WANTED);
    expect(warnings).toEqual(['A rule of the node could not be put on this host']);
  });
});

describe('the rules of a living node', () => {
  const node = (over: ReturnType<typeof world>) =>
    new NodeHostRules(
      { firewall: over.firewall, host: { addresses: () => ['10.0.0.2'] } },
      WANTED.owner,
      WANTED.uplink,
    );

  it('begin after a crash with the remotes that the life before wrote down', async () => {
    const first = world();
    await node(first).apply(WANTED.remotes);
    const second = world();
    const rules = node(second);
    await rules.begin();
    expect(rules.wanted().remotes).toEqual(WANTED.remotes);
    expect(second.writes().join()).toContain('192.0.2.1');
  });

  it('open the guard for a remote on this very host, and for no other', async () => {
    const rules = node(world());
    const local = { address: '10.0.0.2', port: 1194, protocol: 'udp' } as const;
    await rules.apply([...WANTED.remotes, local]);
    expect(rules.wanted().localRemotes).toEqual([local]);
  });

  it('are not put back by a check that comes while they are undone', async () => {
    const over = world();
    const rules = node(over);
    await rules.begin();
    const [, found] = await Promise.all([rules.undo(), rules.reconcile()]);
    expect(found).toEqual([]);
    await expect(rules.apply([])).rejects.toMatchObject({ code: 'V6_INTERRUPTED' });
    expect(over.engine.held().containers).toEqual([]);
  });
});
