import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type {
  ContainerSpec,
  Engine,
  EngineEvent,
  NetworkSpec,
} from '../../src/core/engine/engine.ts';
import type { Cidr, Ipv4 } from '../../src/core/net/ipv4.ts';
import { FakeEngine } from '../fakes/engine.ts';
import { dockerSandbox } from '../support/docker.ts';
import { until } from '../support/wait.ts';

const TEST = 'contract';
const labels = { 'v6.test': TEST, 'v6.kind': 'one-shot' };

interface Subject {
  readonly engine: Engine;
  readonly image: string;
  /** Removes what the tests made. */
  clean(): Promise<void>;
}

/** A fake whose programs do what the shell lines of this file do. */
async function fake(): Promise<Subject> {
  const engine = new FakeEngine({
    images: ['image:1'],
    program: (spec) => {
      const line = spec.command?.[1] ?? '';
      const exitCode = /exit (\d+)/.exec(line)?.[1];
      const output = [...line.matchAll(/echo (\w+)/g)].map((match) => `${match[1]}\n`).join('');
      return { output, ...(exitCode === undefined ? {} : { exitCode: Number(exitCode) }) };
    },
    exec: (_, command) => ({
      exitCode: 3,
      output: `${/echo (\w+)/.exec(command.at(-1) ?? '')?.[1]}\n`,
    }),
    stream: (_, line) => [...line.matchAll(/echo (\w+)/g)].map((match) => match[1] ?? ''),
  });
  const clean = async (): Promise<void> => {
    for (const { id } of await engine.containers.list(labels)) await engine.containers.remove(id);
    for (const { name } of await engine.networks.list(labels)) await engine.networks.remove(name);
  };
  return { engine, image: 'image:1', clean };
}

async function docker(): Promise<Subject> {
  const { engine, image, removeAll } = await dockerSandbox(TEST);
  return { engine, image, clean: removeAll };
}

const slotNetwork = (index: number): NetworkSpec => ({
  name: `v6z-contract-${index}`,
  labels,
  subnet: `10.201.250.${index * 8}/29` as Cidr,
  gateway: `10.201.250.${index * 8 + 1}` as Ipv4,
  bridge: `v6zcontract${index}`,
  form: 'slot',
});
const at = (index: number, host: number): Ipv4 => `10.201.250.${index * 8 + host}` as Ipv4;

describe.each([
  ['in memory', fake],
  ['of Docker', docker],
] as const)('the engine %s', (_, open) => {
  let subject: Subject;
  beforeAll(async () => {
    subject = await open();
  });
  afterEach(() => subject.clean());
  afterAll(() => subject.clean());

  const spec = (name: string, line: string, more: Partial<ContainerSpec> = {}): ContainerSpec => ({
    name: `v6-contract-${name}`,
    image: subject.image,
    labels,
    entrypoint: ['/bin/sh'],
    command: ['-c', line],
    capabilities: [],
    networkMode: 'none',
    ...more,
  });

  it('makes a network once and refuses other settings, an overlap and a bridge that is taken', async () => {
    const { networks } = subject.engine;
    const first = await networks.ensure(slotNetwork(0));
    expect(await networks.ensure(slotNetwork(0))).toEqual(first);
    expect(first).toMatchObject({
      name: 'v6z-contract-0',
      subnets: ['10.201.250.0/29'],
      gateway: '10.201.250.1',
      bridge: 'v6zcontract0',
      containers: {},
    });
    await expect(
      networks.ensure({ ...slotNetwork(0), subnet: '10.201.251.0/29' as Cidr }),
    ).rejects.toMatchObject({ code: 'V6_ENGINE_CONFLICT' });
    await expect(
      networks.ensure({ ...slotNetwork(1), subnet: '10.201.250.0/28' as Cidr, gateway: at(0, 1) }),
    ).rejects.toMatchObject({ code: 'V6_NET_OVERLAP' });
    await expect(
      networks.ensure({ ...slotNetwork(1), bridge: 'v6zcontract0' }),
    ).rejects.toMatchObject({ code: 'V6_ENGINE_CONFLICT' });
    expect((await networks.list(labels)).map(({ name }) => name)).toEqual(['v6z-contract-0']);
    expect(await networks.find('v6z-contract')).toBeUndefined();
    await networks.remove('v6z-contract-0');
    await networks.remove('v6z-contract-0');
    expect(await networks.find('v6z-contract-0')).toBeUndefined();
  });

  it('makes a network once for several who ask at the same time, and it works', async () => {
    const { networks, containers } = subject.engine;
    for (let round = 0; round < 5; round += 1) {
      const indices = [0, 1, 2, 3];
      const made = await Promise.all(
        [...indices, ...indices, ...indices].map((index) => networks.ensure(slotNetwork(index))),
      );
      expect(new Set(made.map(({ name }) => name)).size).toBe(indices.length);
      const { networkMode: _mode, ...base } = spec(`together-${round}`, 'sleep 60');
      const joined = indices.map((index) => ({ name: `v6z-contract-${index}` }));
      const id = await containers.create({ ...base, networks: joined });
      // A network whose bridge is gone keeps the container from starting.
      await containers.start(id);
      await containers.remove(id);
      for (const { name } of joined) await networks.remove(name);
    }
  });

  it('joins several networks with fixed addresses before the start', async () => {
    const { networks, containers } = subject.engine;
    await networks.ensure(slotNetwork(0));
    await networks.ensure(slotNetwork(1));
    const { networkMode: _mode, ...base } = spec('joined', 'sleep 60');
    const id = await containers.create({
      ...base,
      networks: [
        { name: 'v6z-contract-0', address: at(0, 2) },
        { name: 'v6z-contract-1', address: at(1, 2) },
      ],
    });
    expect(await containers.find(id)).toMatchObject({ state: 'created', pid: 0 });
    await containers.start(id);
    await containers.start(id);
    expect((await containers.find('v6-contract-joined'))?.networks).toEqual({
      'v6z-contract-0': at(0, 2),
      'v6z-contract-1': at(1, 2),
    });
    expect((await networks.find('v6z-contract-0'))?.containers).toEqual({
      'v6-contract-joined': at(0, 2),
    });
    await networks.disconnect('v6z-contract-1', id);
    await networks.disconnect('v6z-contract-1', id);
    await networks.connect('v6z-contract-1', id, at(1, 4));
    expect((await containers.find(id))?.networks['v6z-contract-1']).toBe(at(1, 4));
    await networks.remove('v6z-contract-1');
    expect(Object.keys((await containers.find(id))?.networks ?? {})).toEqual(['v6z-contract-0']);
  });

  it('leaves nothing when a later network is missing, the name is taken or the image absent', async () => {
    const { networks, containers } = subject.engine;
    await networks.ensure(slotNetwork(0));
    const { networkMode: _mode, ...base } = spec('half', 'sleep 60');
    await expect(
      containers.create({
        ...base,
        networks: [{ name: 'v6z-contract-0' }, { name: 'v6z-absent' }],
      }),
    ).rejects.toMatchObject({ code: 'V6_ENGINE_REQUEST' });
    expect(await containers.list(labels)).toEqual([]);
    await containers.create(spec('twice', 'sleep 60'));
    await expect(containers.create(spec('twice', 'sleep 60'))).rejects.toMatchObject({
      code: 'V6_ENGINE_CONFLICT',
    });
    await expect(
      containers.create(spec('imageless', 'true', { image: 'v6-absent:1' })),
    ).rejects.toMatchObject({ code: 'V6_IMAGE_NOT_FOUND' });
    expect((await containers.list(labels)).map(({ name }) => name)).toEqual(['v6-contract-twice']);
  });

  it('refuses an address that is taken', async () => {
    const { networks, containers } = subject.engine;
    await networks.ensure(slotNetwork(0));
    const { networkMode: _mode, ...base } = spec('holder', 'sleep 60');
    const holder = await containers.create({
      ...base,
      networks: [{ name: 'v6z-contract-0', address: at(0, 2) }],
    });
    await containers.start(holder);
    const other = await containers.create({
      ...base,
      name: 'v6-contract-other',
      networks: [{ name: 'v6z-contract-0', address: at(0, 3) }],
    });
    await containers.start(other);
    await networks.disconnect('v6z-contract-0', other);
    await expect(networks.connect('v6z-contract-0', other, at(0, 2))).rejects.toMatchObject({
      code: 'V6_ENGINE_CONFLICT',
    });
  });

  it('tells how a program ended and what it printed', async () => {
    const { containers } = subject.engine;
    const id = await containers.create(spec('ends', 'echo one; echo two; exit 7'));
    await containers.start(id);
    expect(await containers.wait(id)).toBe(7);
    expect(await containers.find(id)).toMatchObject({
      state: 'exited',
      exitCode: 7,
      oomKilled: false,
      finishedAt: expect.any(Date),
    });
    expect(await containers.logs(id)).toBe('one\ntwo\n');
    expect(await containers.logs(id, { tail: 1 })).toBe('two\n');
    const followed: string[] = [];
    for await (const text of containers.followLogs(id, AbortSignal.timeout(20_000)))
      followed.push(text);
    expect(followed.join('')).toBe('one\ntwo\n');
  });

  it('repeats stop, kill and remove without complaint', async () => {
    const { containers } = subject.engine;
    const id = await containers.create(spec('stops', 'trap "exit 143" TERM; sleep 60 & wait'));
    await containers.start(id);
    await containers.stop(id, 1);
    await containers.stop(id, 1);
    await containers.kill(id, 'SIGTERM');
    expect((await containers.find(id))?.state).toBe('exited');
    await containers.remove(id);
    await containers.remove(id);
    await containers.stop(id, 1);
    expect(await containers.find(id)).toBeUndefined();
  });

  it('runs programs in a container, one at a time and as a stream that ends with it', async () => {
    const { containers } = subject.engine;
    const id = await containers.create(spec('inside', 'sleep 60'));
    await containers.start(id);
    expect(await containers.exec(id, ['/bin/sh', '-c', 'echo hello; exit 3'])).toEqual({
      exitCode: 3,
      output: 'hello\n',
    });
    const stream = await containers.openStream(id, ['/bin/sh']);
    const lines: string[] = [];
    const reading = (async () => {
      for await (const line of stream.lines) lines.push(line);
    })();
    stream.write('echo a; echo b');
    stream.write('echo c');
    await until('three lines', 20_000, () => lines.length === 3);
    expect(lines).toEqual(['a', 'b', 'c']);
    await containers.kill(id, 'SIGKILL');
    await reading;
    await expect(containers.openStream(id, ['/bin/sh'])).rejects.toMatchObject({
      code: 'V6_ENGINE_CONFLICT',
    });
  });

  it('tells of containers and networks with our labels and of no others', async () => {
    const { containers, networks, events } = bound(subject.engine);
    const seen: EngineEvent[] = [];
    const control = new AbortController();
    const reading = (async () => {
      for await (const event of events({ 'v6.test': TEST }, control.signal)) seen.push(event);
    })();
    await networks.ensure(slotNetwork(0));
    await networks.ensure({ ...slotNetwork(1), labels: { 'v6.test': 'another' } });
    // The labels of all that a test leaves do not find this one.
    onTestFinished(() => networks.remove('v6z-contract-1'));
    const { networkMode: _mode, ...base } = spec('events', 'exit 0');
    const id = await containers.create({ ...base, networks: [{ name: 'v6z-contract-0' }] });
    await containers.start(id);
    await containers.wait(id);
    await containers.remove(id);
    await networks.remove('v6z-contract-0');
    await networks.remove('v6z-contract-1');
    await until('the last event', 20_000, () =>
      seen.some(({ type, action }) => type === 'network' && action === 'destroy'),
    );
    control.abort();
    await reading;
    const told = seen.map(({ type, action, name }) => `${type} ${action} ${name}`);
    expect(new Set(told)).toEqual(
      new Set([
        'network create v6z-contract-0',
        'container create v6-contract-events',
        'network connect v6z-contract-0',
        'container start v6-contract-events',
        'container die v6-contract-events',
        'network disconnect v6z-contract-0',
        'container destroy v6-contract-events',
        'network destroy v6z-contract-0',
      ]),
    );
  });

  it('ends what follows events or a log when it is told to, also while it asks for them', async () => {
    const { containers, events } = bound(subject.engine);
    const id = await containers.create(spec('endless', 'sleep 60'));
    await containers.start(id);
    const ends = async (
      follow: (signal: AbortSignal) => AsyncIterable<unknown>,
      afterMs: number,
    ) => {
      const life = new AbortController();
      const reading = (async () => {
        for await (const _ of follow(life.signal));
        return 'ended';
      })();
      if (afterMs > 0) await new Promise((resolve) => setTimeout(resolve, afterMs));
      life.abort();
      const late = new Promise((resolve) => setTimeout(resolve, 3000, 'goes on'));
      return Promise.race([reading, late]);
    };
    for (const afterMs of [0, 1, 3, 300]) {
      expect(await ends((signal) => events({ 'v6.test': TEST }, signal), afterMs)).toBe('ended');
      expect(await ends((signal) => containers.followLogs(id, signal), afterMs)).toBe('ended');
    }
  });

  it('finds images by name and refuses to pull what no registry has', async () => {
    const { images } = subject.engine;
    expect((await images.find(subject.image))?.tags).toContain(subject.image);
    expect(await images.find('v6-absent:1')).toBeUndefined();
    // Such a name is part of a path at the engine: it must not become another request.
    for (const name of ['../../../etc/passwd', 'x/../../containers/json?all=1']) {
      expect(await images.find(name)).toBeUndefined();
      await expect(images.pull(name)).rejects.toMatchObject({ code: 'V6_IMAGE_NOT_FOUND' });
    }
    await expect(images.pull('127.0.0.1:9/v6-absent:1')).rejects.toMatchObject({
      code: 'V6_IMAGE_NOT_FOUND',
    });
    await images.remove('v6-absent:1');
    expect((await subject.engine.info()).version).toMatch(/^\d+\.\d+\.\d+$/);
  });
});

function bound(engine: Engine): Pick<Engine, 'containers' | 'networks'> & {
  events: Engine['events'];
} {
  return {
    containers: engine.containers,
    networks: engine.networks,
    events: (labels, signal) => engine.events(labels, signal),
  };
}
