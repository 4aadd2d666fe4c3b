import { rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DrillGround, recordDrill, stretched } from '../support/drill.ts';
import { uptime } from '../support/mesh-flow.ts';
import { MeshLab, type MeshNode } from '../support/mesh-lab.ts';
import { until } from '../support/wait.ts';

/** What the issue allows for a client that was killed with 16 slots attached, ms. */
const CLIENT_LIMIT_MS = 5000;
const SLOTS = 16;

let lab: MeshLab;
let ground: DrillGround;
let node: MeshNode;

beforeAll(async () => {
  // Two are busy with the drills' own runs.
  lab = await MeshLab.up('drcli', {
    config: (number) => [`spare_slots: ${number === 1 ? SLOTS - 2 : 1}`],
  });
  ground = await DrillGround.prepare(lab);
  node = lab.node(1);
});
afterAll(() => lab?.remove());

const startedAt = (): Promise<string> =>
  lab.docker('inspect', '--format', '{{.Id}} {{.State.StartedAt}}', node.client);
const nft = (text: string): Promise<string> => node.inClient(`nft '${text}'`);
const changeNft = (text: string): Promise<void> => node.changeClient(`nft '${text}'`);

const isUp = async (): Promise<boolean> => (await node.control.vpn()).level !== 'none';

/** The client runs anew, and all that it should have is there: rules and slots. */
async function isNewAndWhole(before: string): Promise<boolean> {
  if ((await startedAt()) === before) return false;
  const look = 'nft list map inet v6client ports; echo @; ss -Hltn "sport = :8080" | wc -l';
  const [rules = '', claimed = ''] = (await node.inClient(look)).split('@');
  return rules.includes(`${await ownPort()}`) && Number(claimed) >= SLOTS;
}

describe('the container of the VPN client', () => {
  for (const [name, hurt] of [
    ['killed', () => lab.docker('kill', node.client)],
    ['restarted by hand', () => lab.docker('restart', '--time', '1', node.client)],
    ['removed by force', () => lab.docker('rm', '-f', node.client)],
  ] as const) {
    it(`comes back with ${SLOTS} slots when it was ${name}`, async () => {
      const before = await startedAt();
      await ground.run({
        name: `VPN client ${name}, ${SLOTS} slots`,
        hurt: async () => {
          await hurt();
        },
        isBack: () => isNewAndWhole(before),
        backMs: CLIENT_LIMIT_MS,
        // The tunnel is up two seconds after the client noticed.
        limitMs: CLIENT_LIMIT_MS + 2000,
        gapMs: 15_000,
        otherGapMs: 15_000,
      });
    });
  }

  it('lets the end that accepted a connection speak first when it is back', async () => {
    // Opened by the other node; from there nothing is sent any more.
    const feed = await lab.openFlow(ground.far, ground.near, 'feed');
    try {
      const before = await startedAt();
      const since = uptime();
      await lab.docker('kill', node.client);
      await until('the client is back', stretched(CLIENT_LIMIT_MS), () => isNewAndWhole(before));
      await until('the tunnel is back', stretched(CLIENT_LIMIT_MS), isUp);
      // The end that speaks tries again after 0.2, 0.4 … 3.2 s.
      await feed.beatAfter(uptime(), stretched(8000));
      const { isOpen, longestGapMs } = feed.seen(since);
      expect(isOpen).toBe(true);
      await recordDrill({
        drill: 'VPN client killed, only the accepting end sends',
        recoveryMs: longestGapMs,
      });
    } finally {
      await feed.close();
    }
  });

  it('is brought back when somebody paused it and went away', async () => {
    await ground.run({
      name: 'VPN client frozen',
      hurt: async () => {
        await lab.docker('pause', node.client);
      },
      isBack: async () => {
        const state = await lab.docker('inspect', '--format', '{{.State.Paused}}', node.client);
        return state.trim() === 'false' && (await isUp());
      },
      limitMs: 15_000,
      gapMs: 30_000,
      otherGapMs: 30_000,
    });
  });

  it('comes back while the tunnel is down as well', async () => {
    const before = await startedAt();
    await ground.run({
      name: 'VPN client killed while the VPN server is away',
      hurt: async () => {
        await lab.docker('kill', lab.vpn.serverName);
        await lab.docker('kill', node.client);
        await sleep(1000);
        await lab.docker('start', lab.vpn.serverName);
      },
      isBack: () => isNewAndWhole(before),
      limitMs: 15_000,
      gapMs: 30_000,
      otherGapMs: 30_000,
    });
  });
});

describe('the rules in the VPN client', () => {
  it('are made again when their table was deleted', async () => {
    await ground.run({
      name: 'nft table of the client deleted',
      hurt: async () => {
        await changeNft('delete table inet v6client');
      },
      isBack: async () => (await nft('list tables')).includes('v6client'),
      limitMs: 3000,
      gapMs: 8000,
      otherGapMs: 8000,
    });
  });

  it('get an element back that was deleted', async () => {
    await ground.run({
      name: 'one element of the port map deleted',
      hurt: async () => {
        const port = await ownPort();
        await changeNft(`delete element inet v6client ports { tcp . ${port} }`);
      },
      isBack: async () =>
        (await nft('list map inet v6client ports')).includes(`${await ownPort()}`),
      limitMs: 3000,
    });
  });

  it('lose an element that is not theirs', async () => {
    await ground.run({
      name: 'a foreign element in the port map',
      hurt: async () => {
        const { algorithm } = await lab.slotOf(ground.near);
        await changeNft(`add element inet v6client ports { tcp . 60000 : ${algorithm} . 22 }`);
      },
      isBack: async () => !(await nft('list map inet v6client ports')).includes('60000'),
      limitMs: 3000,
    });
  });
});

describe('what the VPN client holds for a slot', () => {
  it('is claimed again when the gateway address was removed', async () => {
    const { gateway } = await lab.slotOf(ground.near);
    await ground.run({
      name: 'gateway address of a slot removed',
      hurt: async () => {
        await node.changeClient(
          `ip addr del ${gateway}/29 dev $(ip -o -4 addr show to ${gateway}/32 | awk '{print $2}')`,
        );
      },
      isBack: async () => (await node.inClient(`ip -o -4 addr show to ${gateway}/32`)) !== '',
      limitMs: 3000,
      gapMs: 8000,
    });
  });

  it('has its relay again after that was killed', async () => {
    const { index } = await lab.slotOf(ground.near);
    await ground.run({
      name: 'relay of a slot killed',
      hurt: async () => {
        await node.changeClient(`kill -s KILL -- -$(cat /run/v6/relay-${index})`);
      },
      isBack: answersProxy,
      // Looked at every second; a look that another one came just before waits a second more.
      limitMs: 4000,
    });
  });

  it('has the socket of its proxy again after that was removed', async () => {
    const { index } = await lab.slotOf(ground.near);
    await ground.run({
      name: 'proxy socket of a slot removed',
      hurt: () => rm(path.join(node.daemon.context.runDir, 'proxy', `slot-${index}.sock`)),
      isBack: answersProxy,
      limitMs: 3000,
    });
  });
});

describe('the rest of the VPN client', () => {
  it('gets its blackhole route back', async () => {
    await ground.run({
      name: 'blackhole route removed',
      hurt: async () => {
        await node.changeClient('ip route del blackhole 10.202.0.0/16 metric 4000');
      },
      isBack: async () => (await node.inClient('ip -4 route')).includes('blackhole'),
      limitMs: 3000,
    });
  });

  it('keeps connections when its table of them is flushed', async () => {
    await ground.run({
      name: 'conntrack table flushed',
      hurt: async () => {
        await node.changeClient('conntrack -F');
      },
      limitMs: 4000,
      gapMs: 4000,
      otherGapMs: 4000,
    });
  });

  it('is spoken to again when the stream of commands was killed', async () => {
    await ground.run({
      name: 'command stream killed',
      hurt: async () => {
        // The daemon's shell is the only one that was begun from outside and reads its standard input.
        await node.changeClient(
          'for p in /proc/[0-9]*; do [ "$(tr "\\0" " " <$p/cmdline 2>/dev/null)" = "/bin/sh " ] && kill -KILL ${p#/proc/}; done; true',
        );
      },
      isBack: async () => (await node.control.network()).vpnClient.rules !== '',
      limitMs: 4000,
    });
  });
});

async function ownPort(): Promise<number> {
  const { ports } = await lab.world.run(ground.near.id);
  const port = (ports as { port: number; protocol: string; label: string }[]).find(
    ({ protocol, label }) => protocol === 'tcp' && label === 'echo',
  );
  if (port === undefined) throw new Error('the run has no port');
  return port.port;
}

/** The algorithm on node 1 gets an answer of the server through its node. */
async function answersProxy(): Promise<boolean> {
  const asked = lab.shell(
    ground.near.container,
    // shut-none: who has asked must not hang up, or the proxy takes it at its word.
    String.raw`printf 'GET /version HTTP/1.0\r\nHost: proxyserver\r\n\r\n' | timeout 2 socat -t 1 - TCP:proxyserver:8080,shut-none,connect-timeout=1 2>/dev/null`,
  );
  return (await asked).includes('"version"');
}
