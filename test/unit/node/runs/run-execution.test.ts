import { describe, expect, it } from 'vitest';
import { V6Error } from '../../../../src/core/errors.ts';
import type { Ipv4 } from '../../../../src/core/net/ipv4.ts';
import { decodeEnv } from '../../../../src/core/protocol/algorithm-env.ts';
import { slotAt } from '../../../../src/node/slots/slot-plan.ts';
import { tokenFor } from '../../../fakes/coordinator.ts';
import { NodeWorld, nodeConfig, RANGE } from '../../../fakes/node-world.ts';

const OWNER = { scope: 'user', node: 'alpha' } as const;

const nothingIsHeld = (world: NodeWorld): void => {
  expect(world.engine.held().containers).toEqual([]);
  expect(world.ports.held()).toEqual([]);
  expect([...world.vpn.mappings]).toEqual([]);
  expect([...world.files.folders]).toEqual([]);
  expect([...world.files.records]).toEqual([]);
  expect([...world.proxy.callers]).toEqual([]);
  expect(world.slots.uses().filter(({ run }) => run !== null)).toEqual([]);
  expect(world.coordinator.ports).toEqual([]);
};

/** The server answers 500 to so many ends of this run, or of any. */
function stumbleOver({ coordinator }: NodeWorld, times: number, only?: number) {
  const stumbles = { count: 0 };
  const tell = coordinator.runs.patch.bind(coordinator.runs);
  coordinator.runs.patch = async (id, changes, signal) => {
    const isMeant = only === undefined || only === id;
    if (isMeant && changes.finishedAt !== undefined && stumbles.count < times) {
      stumbles.count += 1;
      throw new V6Error('V6_SERVER_REFUSED', 'an error', { details: { status: 500 } });
    }
    await tell(id, changes, signal);
  };
  return stumbles;
}

describe('a run', () => {
  it('goes from lease over registration and port map to the container, and gives all of it back', async () => {
    const world = await new NodeWorld({ engine: { images: ['echo:1'] } }).ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    expect(run.status).toBe('active');
    expect(world.coordinator.ports).toEqual([
      { run: run.id, port: 49152, protocol: 'tcp', label: null },
    ]);
    expect(world.vpn.mappings.get(run.id)).toMatchObject([
      { protocol: 'tcp', tunnelPort: 49152, address: '10.205.0.3', port: 8888, label: null },
    ]);
    world.engine.end(world.container(run.id), 0);
    await world.settle();
    expect(run).toMatchObject({ status: 'completed', ends: 1 });
    expect(Buffer.from(run.result ?? '', 'base64').toString()).toBe('"done"');
    nothingIsHeld(world);
    expect(world.coordinator.statuses.map(({ status }) => status)).toEqual(['active', 'completed']);
  });

  it('starts no container before the server has acknowledged its registration', async () => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    const { runs } = world.coordinator;
    const register = runs.registerPort.bind(runs);
    let acknowledge = (): void => {};
    const gate = new Promise<void>((resolve) => {
      acknowledge = resolve;
    });
    Object.assign(world.coordinator.runs, {
      registerPort: async (port: Parameters<typeof register>[0]) => {
        await gate;
        await register(port);
      },
    });
    await world.sync();
    expect(world.manager.list()[0]?.state).toBe('registering');
    expect(world.engine.held().containers).toEqual([]);
    expect(world.vpn.mappings.size).toBe(0);
    acknowledge();
    await world.settle();
    expect(world.isRunning(run.id)).toBe(true);
  });

  it('sends the ports of a new run at once, and clears them before it sends them again', async () => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    const { runs, journal } = world.coordinator;
    const register = runs.registerPort.bind(runs);
    const clear = `clear ${run.id}`;
    let lost = 1;
    Object.assign(world.coordinator.runs, {
      registerPort: async (port: Parameters<typeof register>[0]) => {
        await register(port);
        // The server has it, and its answer does not come through.
        if (lost > 0) {
          lost -= 1;
          throw new V6Error('V6_SERVER_UNREACHABLE', 'The answer was lost');
        }
      },
    });
    await world.sync();
    await world.clock.turn(15_000);
    await world.settle();
    expect(journal.filter((line) => line === clear)).toHaveLength(1);
    expect(world.coordinator.ports).toHaveLength(1);
    expect(world.isRunning(run.id)).toBe(true);
  });

  it('goes on when the engine goes away before its ports were looked at', async () => {
    const world = new NodeWorld();
    const { containers, images } = world.engine;
    const find = images.find.bind(images);
    images.find = async (reference) => {
      const found = await find(reference);
      return found && { ...found, exposedPorts: ['8888/tcp'] };
    };
    const start = containers.start.bind(containers);
    containers.start = async (id) => {
      await start(id);
      world.engine.goAway();
    };
    await world.ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    world.engine.comeBack();
    await world.clock.turn(1000);
    await world.settle();
    expect(run).toMatchObject({ status: 'active', ends: 0 });
    expect(world.isRunning(run.id)).toBe(true);
  });

  it('has its whole log when the engine goes away before that was read', async () => {
    const world = await new NodeWorld({
      engine: { program: () => ({ output: 'hello\n' }) },
    }).ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    world.engine.failAt('containers.logs', 1, 'V6_ENGINE_MISSING');
    world.engine.end(world.container(run.id), 0);
    await world.settle();
    await world.clock.turn(1000);
    await world.settle();
    expect(run).toMatchObject({ status: 'completed', ends: 1, log: 'hello\n' });
  });

  it('waits with its container while the server is away, and asks again until it answers', async () => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    const { runs } = world.coordinator;
    const token = runs.containerToken.bind(runs);
    Object.assign(world.coordinator.runs, {
      containerToken: async (...args: Parameters<typeof token>) => {
        const answer = await token(...args);
        world.coordinator.isAway = true;
        return answer;
      },
    });
    await world.sync();
    for (let i = 0; i < 8; i += 1) await world.clock.turn(15_000);
    expect(world.engine.held().containers).toEqual([]);
    world.coordinator.isAway = false;
    await world.clock.turn(15_000);
    await world.settle();
    expect(world.isRunning(run.id)).toBe(true);
    const order = world.coordinator.journal.filter((line) => /register|active/.test(line));
    expect(order).toEqual([`register ${run.id} 49152/tcp`, `patch ${run.id} active`]);
  });

  it('starts without tunnel with a line in its log, and is registered as soon as there is one', async () => {
    const world = await new NodeWorld().ready(null);
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    expect(run.status).toBe('active');
    expect(run.log).toMatch(/tunnel of this node is down/);
    expect(world.coordinator.ports).toEqual([]);
    world.vpn.up('10.206.0.9');
    await world.settle();
    expect(world.coordinator.address).toBe('10.206.0.9');
    expect(world.coordinator.ports).toHaveLength(1);
    world.engine.end(world.container(run.id), 0);
    await world.settle();
    expect(run.log).toMatch(/tunnel of this node is down/);
    nothingIsHeld(world);
  });

  it('leases and registers nothing where the VPN is off', async () => {
    const world = await new NodeWorld({ vpn: false }).ready(null);
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    expect(run.log).toBeNull();
    expect(world.ports.held()).toEqual([]);
    expect(world.vpn.mappings.size).toBe(0);
    expect(world.isRunning(run.id)).toBe(true);
  });

  it('gives its algorithm the input, a token, the proxy by name, and nothing beyond the allow-list', async () => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    const folder = world.files.folders.get(run.id);
    expect(folder).toMatchObject({ input: '{"method":"echo"}', token: tokenFor(run.task.id) });
    const spec = world.engine.specOf(world.container(run.id));
    expect(spec?.hosts).toEqual({ proxyserver: '10.205.0.1' });
    expect(spec?.networks).toEqual([{ name: 'v6z-user-alpha-0', address: '10.205.0.3' }]);
    expect(spec?.capabilities).not.toContain('NET_RAW');
    expect(decodeEnv(spec?.env?.HOST ?? '')).toBe('http://proxyserver');
    expect(world.proxy.callers.get(0)).toMatchObject({ run: run.id, task: run.task.id });
  });

  it('has in its log what the task firewall refused', async () => {
    const world = await new NodeWorld({
      engine: { program: () => ({ exitCode: 0, output: 'hello\n' }) },
    }).ready();
    const address = '10.206.0.9' as Ipv4;
    for (const { algorithm } of [0, 1, 2].map((index) => slotAt(OWNER, RANGE, index)))
      world.vpn.refused.set(algorithm, [
        { side: 'sending', address, protocol: 'tcp', port: 49170, packets: 12 },
      ]);
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    expect(run.log).toBe(
      'The task firewall refused 12 packets of this algorithm to 10.206.0.9:49170/tcp: no registered address of its task family.\nhello\n',
    );
  });

  it('ends as crashed when its program fails, with the log and without our token', async () => {
    const world = await new NodeWorld({
      engine: { program: () => ({ exitCode: 3, output: `token ${tokenFor(1041)}\nboom\n` }) },
    }).ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    expect(run).toMatchObject({ status: 'crashed', ends: 1, log: 'token [token]\nboom\n' });
  });

  it.each([
    ['no-such-image:1', {}, 'non-existing Docker image', 'V6_IMAGE_NOT_FOUND'],
    ['echo:1', { allowedAlgorithms: ['other'] }, 'not allowed', 'V6_IMAGE_NOT_ALLOWED'],
    ['echo:1', { requireAlgorithmPull: true }, 'non-existing Docker image', 'V6_IMAGE_NOT_FOUND'],
    ['echo:1', { allowedUsers: [7, 8] }, 'not allowed', 'V6_RUN_NOT_ALLOWED'],
    ['echo:1', { allowedOrganizations: ['7', 'South'] }, 'not allowed', 'V6_RUN_NOT_ALLOWED'],
  ])('with %s under %j ends as %s', async (image, policies, status, code) => {
    const world = await new NodeWorld({
      config: { policies: { ...nodeConfig().policies, ...policies } },
    }).ready();
    world.coordinator.setKey(2, '', 'North');
    const run = world.coordinator.add({ image });
    await world.sync();
    expect(run).toMatchObject({ status, ends: 1 });
    expect(run.log).toContain(code);
    nothingIsHeld(world);
  });

  it.each([
    ['containers.create', 'start failed'],
    ['containers.start', 'start failed'],
  ])('undoes everything when %s fails', async (method, status) => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    world.engine.failAt(method, 1, 'V6_ENGINE_REQUEST');
    await world.sync();
    expect(run).toMatchObject({ status, ends: 1 });
    expect(run.log).toContain('V6_ENGINE_REQUEST');
    nothingIsHeld(world);
  });

  it('undoes everything when the port map cannot be applied', async () => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    world.vpn.failNext('applyRun', 'V6_FIREWALL_APPLY');
    await world.sync();
    expect(run).toMatchObject({ status: 'failed', ends: 1 });
    expect(run.log).toContain('V6_FIREWALL_APPLY');
    nothingIsHeld(world);
  });

  it('fails with the database that it asks for and that the node does not have', async () => {
    const world = await new NodeWorld().ready();
    const databases = [{ label: 'omop', parameters: '{}' }];
    const run = world.coordinator.add({ image: 'echo:1', databases });
    await world.sync();
    expect(run.status).toBe('start failed');
    expect(run.log).toContain('"omop"');
  });

  it('fails when somebody else removes its container', async () => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    await world.engine.containers.remove(world.container(run.id));
    await world.settle();
    expect(run).toMatchObject({ status: 'failed', ends: 1 });
    expect(run.log).toContain('removed from outside');
    nothingIsHeld(world);
  });

  it('says what is wrong with its output, and sends no result', async () => {
    const world = await new NodeWorld().ready();
    world.files.output = undefined;
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    world.engine.end(world.container(run.id), 0);
    await world.settle();
    expect(run).toMatchObject({ status: 'crashed', result: null, ends: 1 });
    expect(run.log).toContain('is a link');
  });

  it('keeps its result until the server takes it, and holds neither slot nor container meanwhile', async () => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    world.coordinator.isAway = true;
    world.engine.end(world.container(run.id), 0);
    for (let i = 0; i < 5; i += 1) await world.clock.turn(15_000);
    expect(world.engine.held().containers).toEqual([]);
    expect(world.slots.uses().every((use) => use.run === null)).toBe(true);
    expect(world.files.records.get(run.id)?.outcome?.status).toBe('completed');
    world.coordinator.isAway = false;
    await world.clock.turn(15_000);
    await world.settle();
    expect(run).toMatchObject({ status: 'completed', ends: 1 });
    nothingIsHeld(world);
  });

  it('tells its end again when the server stumbles over it, and keeps its result', async () => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    const stumbles = stumbleOver(world, 3);
    world.engine.end(world.container(run.id), 0);
    for (let i = 0; i < 5; i += 1) await world.clock.turn(15_000);
    await world.settle();
    expect(stumbles.count).toBe(3);
    expect(run).toMatchObject({ status: 'completed', ends: 1, result: expect.any(String) });
    nothingIsHeld(world);
  });

  it.each([
    ['V6_AUTH_API_KEY', 401],
    ['V6_SERVER_ANSWER', 200],
  ] as const)(
    'leaves its end to the next daemon when it gets %s for an answer',
    async (code, status) => {
      const world = await new NodeWorld().ready();
      const run = world.coordinator.add({ image: 'echo:1' });
      await world.sync();
      world.coordinator.runs.patch = () =>
        Promise.reject(new V6Error(code, 'no answer', { details: { status } }));
      world.engine.end(world.container(run.id), 0);
      await world.settle();
      expect(run.ends).toBe(0);
      expect(world.engine.held().containers).toEqual([]);
      expect(world.files.records.get(run.id)?.outcome?.status).toBe('completed');
      expect(world.files.folders.has(run.id)).toBe(true);
    },
  );

  it('leaves its end to the next daemon when the server always stumbles, and makes room for others', async () => {
    const world = await new NodeWorld({ config: { maxRuns: 1 } }).ready();
    const [run, next] = [1, 2].map(() => world.coordinator.add({ image: 'echo:1' }));
    await world.sync();
    stumbleOver(world, Infinity, run?.id);
    world.engine.end(world.container(run?.id ?? 0), 0);
    for (let i = 0; i < 40; i += 1) await world.clock.turn(15_000);
    await world.settle();
    expect(world.files.records.get(run?.id ?? 0)?.outcome?.status).toBe('completed');
    expect(world.files.folders.has(run?.id ?? 0)).toBe(true);
    expect(world.isRunning(next?.id ?? 0)).toBe(true);
  });

  it('keeps the logs to itself where the node does not share them', async () => {
    const world = await new NodeWorld({
      config: { shareAlgorithmLogs: false },
      engine: { program: () => ({ exitCode: 0, output: 'patient 17\n' }) },
    }).ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    expect(run.log).not.toContain('patient');
    expect(run.log).toContain('does not share');
  });

  it('fails with the reason when its input is in a blob store, and its algorithm is never started', async () => {
    const world = await new NodeWorld().ready();
    const run = world.coordinator.add({ image: 'echo:1' });
    const listOpen = world.coordinator.runs.listOpen.bind(world.coordinator.runs);
    world.coordinator.runs.listOpen = async (task) =>
      (await listOpen(task)).map((open) => ({ ...open, isInBlobStore: true }));
    await world.sync();
    expect(run).toMatchObject({ status: 'failed', ends: 1 });
    expect(run.log).toContain('blob');
    expect(world.engine.held().containers).toEqual([]);
  });

  it('reports an exhausted port range with its code', async () => {
    const world = await new NodeWorld().ready();
    for (const protocol of ['tcp', 'udp'] as const)
      for (let i = 49_152; i <= 65_534; i += 1)
        world.ports.adopt(9999, [{ protocol, port: 1, label: null, tunnelPort: i }]);
    const run = world.coordinator.add({ image: 'echo:1' });
    await world.sync();
    expect(run).toMatchObject({ status: 'failed', ends: 1 });
    expect(run.log).toContain('V6_PORTS_EXHAUSTED');
    expect(world.engine.held().containers).toEqual([]);
  });
});
