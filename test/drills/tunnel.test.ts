import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addressAt } from '../../src/core/net/ipv4.ts';
import { DrillGround, recordDrill, stretched } from '../support/drill.ts';
import { EngineApi } from '../support/engine-api.ts';
import { uptime } from '../support/mesh-flow.ts';
import { MeshLab, type MeshNode, PING_RESTART_MS } from '../support/mesh-lab.ts';
import { VPN_SUBNET, writeAddress } from '../support/vpn-lab.ts';
import { until } from '../support/wait.ts';

/** openvpn looks at its clock once a second; the rest is what asking the node takes. */
const NOTICE_LIMIT_MS = PING_RESTART_MS + 1000 + 250;
/** From then until the tunnel stands again, when the way is open. */
const BACK_LIMIT_MS = 2000;

let lab: MeshLab;
let ground: DrillGround;
let node: MeshNode;

beforeAll(async () => {
  lab = await MeshLab.up('drtun');
  ground = await DrillGround.prepare(lab);
  node = lab.node(1);
});
afterAll(() => lab?.remove());

const openvpnPid = (of: MeshNode): Promise<string> => of.inClient('cat /run/v6/openvpn.pid');
const isUp = async (of: MeshNode): Promise<boolean> => (await of.control.vpn()).level !== 'none';

/** Waits until the node says that its tunnel is down, and then up; how long each took, ms. */
async function noticedAndBack(of: MeshNode): Promise<{ noticedMs: number; backMs: number }> {
  const startedAt = performance.now();
  await until('the node notices', 45_000, async () => !(await isUp(of)));
  const noticedAt = performance.now();
  await until('the tunnel is back', 30_000, () => isUp(of));
  return { noticedMs: noticedAt - startedAt, backMs: performance.now() - noticedAt };
}

describe('openvpn', () => {
  it('is started again when it was killed', async () => {
    const before = await openvpnPid(node);
    await ground.run({
      name: 'openvpn killed',
      hurt: async () => {
        await node.changeClient(`kill -KILL ${before}`);
      },
      isBack: async () => (await openvpnPid(node)) !== before && (await isUp(node)),
      limitMs: 6000,
      gapMs: 8000,
      otherGapMs: 8000,
    });
  });

  it('is started again when it does nothing any more', async () => {
    const before = await openvpnPid(node);
    await ground.run({
      name: 'openvpn frozen',
      hurt: async () => {
        await node.changeClient(`kill -STOP ${before}`);
      },
      isBack: async () => (await openvpnPid(node)) !== before && (await isUp(node)),
      limitMs: 20_000,
      gapMs: 40_000,
      otherGapMs: 40_000,
    });
  });
});

describe('the way to the VPN server', () => {
  it('is cut in the client’s name space, and comes back', async () => {
    await ground.run({
      name: 'tunnel cut, then open again',
      hurt: async () => {
        await node.changeClient(
          `nft 'add table ip drill; add chain ip drill out { type filter hook output priority 10; }; add rule ip drill out ip daddr ${lab.vpn.serverAddress} drop; add chain ip drill in { type filter hook input priority 10; }; add rule ip drill in ip saddr ${lab.vpn.serverAddress} drop'`,
        );
        try {
          const cutAt = performance.now();
          await until('the node notices', 45_000, async () => !(await isUp(node)));
          expect(performance.now() - cutAt).toBeLessThan(stretched(NOTICE_LIMIT_MS));
        } finally {
          // Left there it would fail every drill that comes after.
          await node.changeClient("nft 'delete table ip drill'");
        }
      },
      isBack: () => isUp(node),
      limitMs: 20_000,
      gapMs: 30_000,
      otherGapMs: 30_000,
    });
  });

  it('is silent for less than the VPN’s patience, and nobody notices', async () => {
    const before = await openvpnPid(node);
    const { restartedAt } = { restartedAt: (await node.control.vpn()).connectedSince };
    await ground.run({
      name: 'VPN server paused 2 s',
      hurt: async () => {
        // Not by the engine's command line: on a slow machine its start takes what is left of the VPN's patience.
        const engine = new EngineApi();
        await engine.call('POST', `/containers/${lab.vpn.serverName}/pause`);
        await sleep(2000);
        await engine.call('POST', `/containers/${lab.vpn.serverName}/unpause`);
      },
      limitMs: 6000,
      gapMs: 8000,
      otherGapMs: 8000,
    });
    expect(await openvpnPid(node)).toBe(before);
    expect((await node.control.vpn()).connectedSince).toBe(restartedAt);
  });
});

describe('the VPN server', () => {
  it('is restarted politely, and the nodes are told', async () => {
    await ground.run({
      name: 'VPN server restarted politely',
      hurt: async () => {
        await lab.docker('restart', '--time', '5', lab.vpn.serverName);
      },
      isBack: async () => (await Promise.all(lab.nodes.map(isUp))).every(Boolean),
      limitMs: 12_000,
      gapMs: 24_000,
      otherGapMs: 24_000,
    });
  });

  it('is killed: noticed within ping-restart and a second, back two seconds later', async () => {
    const seen: { noticedMs: number; backMs: number }[] = [];
    await ground.run({
      name: 'VPN server killed and started',
      hurt: async () => {
        await lab.docker('kill', lab.vpn.serverName);
        const watching = Promise.all(lab.nodes.map(noticedAndBack));
        await lab.docker('start', lab.vpn.serverName);
        seen.push(...(await watching));
      },
      limitMs: PING_RESTART_MS + 6000,
      gapMs: 30_000,
      otherGapMs: 30_000,
    });
    for (const { noticedMs, backMs } of seen) {
      await recordDrill({
        drill: 'tunnel lost: noticed after',
        recoveryMs: noticedMs,
        limitMs: NOTICE_LIMIT_MS,
      });
      await recordDrill({
        drill: 'tunnel lost: back after it was noticed',
        recoveryMs: backMs,
        limitMs: BACK_LIMIT_MS,
      });
      expect(noticedMs).toBeLessThan(stretched(NOTICE_LIMIT_MS));
      expect(backMs).toBeLessThan(stretched(BACK_LIMIT_MS));
    }
  });
});

it('comes back with another address, which the server and the peers learn', async () => {
  const other = addressAt(VPN_SUBNET, 77);
  for (const address of [other, node.vpnAddress]) {
    const since = uptime();
    await writeAddress(lab.vpn, 1, address);
    // What openvpn does by itself when the server was silent for too long.
    await node.changeClient('kill -USR1 "$(cat /run/v6/openvpn.pid)"');
    const known = async () => (await lab.world.ask('GET', `/node/${node.id}`)).ip;
    await until('the server knows the address', 10_000, known, (ip) => ip === address);
    const there = await lab.addressOf(ground.far, ground.near);
    expect(there.split(':')[0]).toBe(address);
    await until('a peer reaches it', 10_000, () => ground.reaches(ground.far, there));
    const own = await lab.addressOf(ground.near, ground.far);
    await until('it reaches a peer', 10_000, () => ground.reaches(ground.near, own));
    const hairpin = await lab.addressOf(ground.near, ground.near);
    await until('it reaches itself', 10_000, () => ground.reaches(ground.near, hairpin));
    await recordDrill({
      drill: 'tunnel back with another address',
      recoveryMs: (uptime() - since) * 1000,
    });
  }
});
