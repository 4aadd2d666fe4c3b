import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectEngine } from '../../src/adapters/docker/engine.ts';
import { systemClock } from '../../src/core/clock.ts';
import type { Engine } from '../../src/core/engine/engine.ts';
import type { HostRules } from '../../src/core/net/host-rules.ts';
import type { Cidr, Ipv4 } from '../../src/core/net/ipv4.ts';
import { HostContainer } from '../../src/node/host-rules/host-container.ts';
import { createHostFirewall } from '../../src/node/host-rules/host-firewall.ts';
import type { HostFirewall } from '../../src/node/interfaces/host-firewall.ts';
import { vpnImage } from '../support/docker.ts';
import { type PrivateEngine, startPrivateEngine } from '../support/private-engine.ts';
import { until } from '../support/wait.ts';

const SUBNET = '10.226.9.0/24' as Cidr;
const BRIDGE = 'v6aflush';
/** Beyond the host, and without a route to the uplink's range: it answers to the host's address only. */
const BEYOND = '198.51.100.9';
const WANTED: HostRules = {
  owner: 'user/flush',
  uplink: { bridge: BRIDGE, subnet: SUBNET },
  remotes: [{ address: BEYOND, port: 1194, protocol: 'udp' }],
  localRemotes: [],
};
/** A repair takes some 300 ms; the rest is slack for a machine that does ten other things. By itself a node looks every 30 s. */
const REPAIR_LIMIT_MS = 10_000;
const PLACE = 'v6-test-flush-client';

function firewallOn(engine: Engine, image: string): HostFirewall {
  const container = new HostContainer({ engine, image, scope: 'user', node: 'flush' });
  return createHostFirewall({ engine, container, clock: systemClock });
}

describe('a host whose rules are flushed, as a restart of nftables does', () => {
  let lab: PrivateEngine;
  let engine: Engine;
  let firewall: HostFirewall;

  const host = async (line: string): Promise<string> => {
    const { stdout, stderr, exitCode } = await lab.exec(['/bin/sh', '-c', line]);
    if (exitCode !== 0) throw new Error(`${line}: ${stderr}`);
    return stdout;
  };
  const reaches = async (): Promise<boolean> => {
    const ping = ['ping', '-c', '1', '-W', '5', BEYOND];
    return (await engine.containers.exec(PLACE, ping)).exitCode === 0;
  };

  beforeAll(async () => {
    const image = await vpnImage(await connectEngine());
    lab = await startPrivateEngine({ iptables: 'nft' });
    await lab.load([image]);
    engine = await connectEngine({ socketPath: lab.socket });
    await engine.networks.ensure({
      name: 'v6a-flush',
      labels: {},
      subnet: SUBNET,
      gateway: '10.226.9.1' as Ipv4,
      bridge: BRIDGE,
      form: 'uplink',
    });
    lab.spawn(['unshare', '-n', '/bin/sh', '-c', `echo $$ >${lab.folder}/beyond; exec sleep 900`]);
    await until('there is a beyond', 20_000, async () =>
      host(`ip link set lo up; cat ${lab.folder}/beyond`).catch(() => ''),
    );
    await host(
      [
        `set -e; pid=$(cat ${lab.folder}/beyond)`,
        'ip link add ext0 type veth peer name ext1 netns "$pid"',
        'ip addr add 198.51.100.1/24 dev ext0; ip link set ext0 up',
        `nsenter -t "$pid" -n /bin/sh -c "ip addr add ${BEYOND}/24 dev ext1; ip link set ext1 up"`,
      ].join('; '),
    );
    const place = await engine.containers.create({
      name: PLACE,
      image,
      labels: {},
      entrypoint: ['/usr/bin/tini', '--', '/bin/sleep'],
      command: ['900'],
      networks: [{ name: 'v6a-flush' }],
      capabilities: ['NET_RAW'],
    });
    await engine.containers.start(place);
    firewall = firewallOn(engine, image);
  });

  afterAll(async () => {
    await firewall?.close();
    await lab?.[Symbol.asyncDispose]();
  });

  it('lets the tunnel out by the engine’s rules at first', async () => {
    await firewall.apply(WANTED);
    expect(await reaches()).toBe(true);
    expect(await host('nft list tables')).not.toContain('v6nat');
  });

  it('gets guard and way out back from the node at once', async () => {
    const life = new AbortController();
    const failures: unknown[] = [];
    firewall.watch(() => {
      firewall.reconcile(WANTED).catch((error: unknown) => failures.push(error));
    }, life.signal);
    try {
      await until('the watch looks', 20_000, async () =>
        (await host('ps -eo args || true')).includes('nft monitor'),
      );
      await host('nft flush ruleset');
      await until('both tables are there', REPAIR_LIMIT_MS, async () => {
        const tables = await host('nft list tables');
        return tables.includes('v6guard') && tables.includes('v6nat');
      });
      expect(await reaches()).toBe(true);
      expect(failures).toEqual([]);
    } finally {
      life.abort();
    }
  });

  it('is left to the engine again once that has its own rules', async () => {
    await lab.restart();
    await engine.containers.start(PLACE);
    const [drift] = await firewall.reconcile(WANTED);
    expect(drift?.found).toBe('ip v6nat: its rule is needed no longer');
    expect(await reaches()).toBe(true);
    await firewall.undo(WANTED.owner);
    expect(await host('nft list tables')).not.toContain('v6');
  });
});

describe('a host with iptables-legacy that drops what is forwarded', () => {
  let lab: PrivateEngine;
  let firewall: HostFirewall;

  const userChain = async (): Promise<string> => {
    const { stdout } = await lab.exec([
      '/bin/sh',
      '-c',
      'iptables -S DOCKER-USER; iptables -S V6-FORWARD',
    ]);
    return stdout;
  };

  beforeAll(async () => {
    const image = await vpnImage(await connectEngine());
    lab = await startPrivateEngine({ iptables: 'legacy' });
    await lab.load([image]);
    const engine = await connectEngine({ socketPath: lab.socket });
    await lab.exec(['iptables', '-I', 'DOCKER-USER', '-j', 'DROP']);
    firewall = firewallOn(engine, image);
  });

  afterAll(async () => {
    await firewall?.close();
    await lab?.[Symbol.asyncDispose]();
  });

  it('has its accept rules back seconds after somebody took them away', async () => {
    await firewall.apply(WANTED);
    const wanted = await userChain();
    expect(wanted).toContain('-j V6-FORWARD\n');
    expect(wanted).toContain('--physdev-is-bridged');
    const life = new AbortController();
    const hints: string[] = [];
    const failures: unknown[] = [];
    firewall.watch((hint) => {
      hints.push(hint);
      firewall.reconcile(WANTED).catch((error: unknown) => failures.push(error));
    }, life.signal);
    try {
      // It has looked once, and sleeps.
      await until('the watch looks', 20_000, async () =>
        (await lab.exec(['ps', '-eo', 'args'])).stdout.includes('\nsleep 2\n'),
      );
      for (const damage of [
        ['-D', 'DOCKER-USER', '1'],
        ['-F', 'V6-FORWARD'],
      ]) {
        await lab.exec(['iptables', ...damage]);
        expect(await userChain()).not.toBe(wanted);
        await until(
          `${damage.join(' ')} is repaired`,
          REPAIR_LIMIT_MS,
          userChain,
          (now) => now === wanted,
        );
      }
      expect(hints).toContain('the host’s rules of iptables-legacy were changed');
      expect(failures).toEqual([]);
    } finally {
      life.abort();
    }
    await firewall.undo(WANTED.owner);
    expect(await userChain()).not.toContain('V6-FORWARD');
  });
});
