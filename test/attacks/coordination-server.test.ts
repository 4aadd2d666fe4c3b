import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { isRecord } from '../../src/core/protocol/json.ts';
import { shell, tcp } from '../support/attack.ts';
import { MeshLab, type MeshRun, type MeshTask } from '../support/mesh-lab.ts';
import { INTERNET, OutsideWorld } from '../support/outside-world.ts';
import { ASK_PROXY } from '../support/peer-program.ts';
import { type Twist, TwistingRelay } from '../support/twisting-relay.ts';
import { until } from '../support/wait.ts';

/** What a shell, nft, a path or a list could take for something else. */
const JUNK: readonly unknown[] = [
  '10.202.0.12; flush ruleset',
  '10.202.0.12 }; delete table inet v6client; {',
  "10.202.0.12'; touch /run/pwned; '",
  '$(touch /run/pwned)',
  '10.202.0.12\nflush ruleset',
  '10.202.0.0/16',
  '999.1.1.1',
  '0x0acA000c',
  '::ffff:10.202.0.12',
  '',
  {},
  [],
  12,
  true,
];
/** Addresses that are ones, and none of the VPN. */
const STRANGERS = [
  INTERNET,
  '127.0.0.1',
  '0.0.0.0',
  '255.255.255.255',
  '172.17.0.1',
  '169.254.169.254',
];
const PORTS: readonly unknown[] = ['80; drop', '80', -1, 0, 65_536, 1e12, 1.5, null, {}];
/** Elements that a run's sets may hold (task-firewall). */
const MOST = 4096 * 2;

let lab: MeshLab;
let relay: TwistingRelay;
let world: OutsideWorld;
let task: MeshTask;
let peer: string;

const run = (at: number): MeshRun => {
  const found = task.runs[at];
  if (found === undefined) throw new Error('no such run');
  return found;
};
const inClient = (line: string): Promise<string> => lab.node(1).inClient(line);
const sets = async (): Promise<string> =>
  (
    await Promise.all(
      ['receiving', 'sending', 'ports', 'remotes', 'vpn'].map((name) =>
        inClient(`nft list ${name === 'ports' ? 'map' : 'set'} inet v6client ${name}`),
      ),
    )
  ).join('\n');
/** The node lives, its rules stand, and the flow that is allowed still passes. */
async function isWell(): Promise<void> {
  expect((await lab.node(1).control.status()).vpn.state).toBe('connected');
  expect(await tcp(run(0).container, peer), 'the honest flow').toBe(true);
  expect(
    await inClient('ls /run /tmp; nft list chain inet v6client through | grep -c kill-switch'),
  ).toMatch(/^(?![\s\S]*pwned)[\s\S]*\n1\s*$/);
}
/** Lies in the lists of runs by which a node learns who takes part. */
const inFamily =
  (more: (honest: Record<string, unknown>) => unknown[]): Twist =>
  (target, answer) => {
    if (!/\/run\?task_id=/.test(target) || !isRecord(answer) || !Array.isArray(answer.data))
      return undefined;
    const honest = answer.data.find(isRecord);
    return honest === undefined
      ? undefined
      : { ...answer, data: [...answer.data, ...more(honest)] };
  };
/** Lies about the runs that a node is to start. */
const inOpenRuns =
  (change: (run: Record<string, unknown>) => Record<string, unknown>, only: number): Twist =>
  (target, answer) => {
    if (!/\/run\?state=open/.test(target) || !isRecord(answer) || !Array.isArray(answer.data))
      return undefined;
    const data = answer.data.map((one: unknown) =>
      isRecord(one) && Number(one.id) > only ? change(one) : one,
    );
    return { ...answer, data };
  };
const withTask = (change: Record<string, unknown>) => (one: Record<string, unknown>) => ({
  ...one,
  task: { ...(isRecord(one.task) ? one.task : {}), ...change },
});
const lied = (limitMs = 60_000) => until('the lie is told', limitMs, () => relay.lies > 0);

describe('a coordination server that lies to a node', () => {
  beforeAll(async () => {
    relay = await TwistingRelay.start();
    lab = await MeshLab.open('atkl', {
      nodes: 2,
      config: (number) => (number === 1 ? [`port: ${relay.port}`] : []),
    });
    relay.target = lab.world.port;
    await Promise.all(lab.nodes.map((node) => node.start()));
    world = await OutsideWorld.open(lab.vpn);
    task = await lab.startTask(lab.nodes);
    peer = await lab.addressOf(run(0), run(1));
    await isWell();
  });
  afterEach(async () => {
    relay.beHonest();
    await isWell();
  });
  afterAll(async () => {
    await world?.remove();
    await lab?.remove();
    await relay?.stop();
  });

  it('puts no word of its own into the rules by addresses and ports', async () => {
    relay.lie(
      inFamily((honest) => [
        ...[...JUNK, ...STRANGERS].map((ip, at) => ({
          ...honest,
          id: 900 + at,
          node: { id: 77, ip },
        })),
        {
          ...honest,
          id: 990,
          node: { id: 78, ip: '10.202.0.99' },
          ports: PORTS.map((port) => ({ port, protocol: 'tcp' })),
        },
        {
          ...honest,
          id: 991,
          node: { id: 78, ip: '10.202.0.98' },
          ports: [{ port: 50_001, protocol: 'tcp; drop' }],
        },
      ]),
    );
    await lied();
    // The control: what is an address of the VPN does get in, so these lists are what the rules are made of.
    const text = await until('the true part is in', 90_000, sets, (all) =>
      all.includes('10.202.0.98'),
    );
    for (const address of STRANGERS) expect(text).not.toContain(address);
    expect(text).not.toMatch(/999\.1|flush|pwned/);
    expect(await tcp(run(0).container, world.internet, world.witness)).toBe(false);
  });

  it('cannot make the rules grow without end', async () => {
    const many = Array.from({ length: 3000 }, (_, at) => ({
      id: 10_000 + at,
      node: { id: 1000 + at, ip: `10.202.${100 + Math.floor(at / 250)}.${(at % 250) + 1}` },
      ports: Array.from({ length: 5 }, (__, port) => ({ port: 50_000 + port, protocol: 'tcp' })),
    }));
    relay.lie(inFamily((honest) => many.map((one) => ({ ...honest, ...one }))));
    await lied();
    const text = await until('many are in', 90_000, sets, (all) => all.includes('10.202.101.'));
    expect(text.split(',').length).toBeLessThan(MOST);
    relay.beHonest();
    await until('they are out again', 90_000, sets, (all) => !all.includes('10.202.101.'));
  });

  it('opens no way by the addresses that it gives to an algorithm', async () => {
    relay.lie((target, answer) =>
      target.includes('/vpn/algorithm/addresses') && isRecord(answer)
        ? {
            addresses: [...JUNK, ...STRANGERS].map((ip) => ({
              ip,
              port: 80,
              protocol: 'tcp',
              label: 'x',
              organization_id: 1,
              task_id: 1,
              parent_id: null,
            })),
          }
        : undefined,
    );
    const told = await shell(
      run(0).container,
      `${ASK_PROXY}\nask /vpn/algorithm/addresses "$token"`,
    );
    expect(told, 'the algorithm is told').toContain(INTERNET);
    expect(await tcp(run(0).container, world.internet, world.witness)).toBe(false);
    const text = await sets();
    for (const address of STRANGERS) expect(text).not.toContain(address);
  });

  it.each([
    ['an option', withTask({ image: '--privileged' }), 'non-existing Docker image'],
    [
      'an image with a command',
      withTask({ image: 'x; touch /run/pwned' }),
      'non-existing Docker image',
    ],
    [
      'a path for an image',
      withTask({ image: '../../../etc/passwd' }),
      'non-existing Docker image',
    ],
    [
      'a database that is none',
      withTask({ databases: [{ label: 'default"\nLD_PRELOAD=/x', parameters: '{}' }] }),
      'start failed',
    ],
  ])('starts nothing from %s', async (_what, change, status) => {
    const newest = Math.max(...task.runs.map(({ id }) => id));
    relay.lie(inOpenRuns(change, newest));
    const { runs } = await lab.createTask([lab.node(1)]);
    const [first] = runs;
    const ended = await lab.ended(first?.id ?? 0);
    expect(ended.status).toBe(status);
    expect(await lab.engine.containers.find(first?.container ?? '')).toBeUndefined();
  });

  it('makes no path out of the number of a run', async () => {
    const newest = Math.max(...task.runs.map(({ id }) => id));
    relay.lie(inOpenRuns((one) => ({ ...one, id: '../../../pwned' }), newest));
    await lab.createTask([lab.node(1)]);
    await lied();
    relay.beHonest();
    await lab.finish(await lab.startTask([lab.node(1)]));
  });
});
