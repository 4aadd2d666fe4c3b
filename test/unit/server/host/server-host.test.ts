import { describe, expect, it } from 'vitest';
import { parseServerConfig } from '../../../../src/core/config/server-config.ts';
import { isV6Error, V6Error } from '../../../../src/core/errors.ts';
import {
  containerWarnings,
  databasePlace,
  hasPassword,
  refuseSecretInEnvironment,
} from '../../../../src/server/host/database-place.ts';
import { localServerUrl, publishedAddress } from '../../../../src/server/host/server-address.ts';
import { planServerContainer } from '../../../../src/server/host/server-container.ts';
import { parseRecord, recordFile } from '../../../../src/server/host/server-record.ts';
import { startServerOnHost } from '../../../../src/server/host/start-server.ts';
import { stopServer } from '../../../../src/server/host/stop-server.ts';
import { createServerHost } from '../../../fakes/server-host.ts';

const CONFIG = parseServerConfig('uri: sqlite:///t.sqlite\nport: 7700\n', 'trial.yaml');
const ADDRESS = { ip: '127.0.0.1', port: 7700 };
const URL = 'http://127.0.0.1:7700/api';
const USER = { uid: 1000, gid: 100, folders: { HOME: '/home/ann' } };

type World = ReturnType<typeof createServerHost>;

const inContainer = (world: World, image = 'v6-runtime:1') => {
  world.files.files.set(world.context.configFile, 'uri: sqlite:///t.sqlite');
  return startServerOnHost(world.deps, {
    context: world.context,
    config: CONFIG,
    address: ADDRESS,
    container: { image, user: USER, network: 'host' },
    waitMs: 3000,
  });
};

const asProcess = (world: World) =>
  startServerOnHost(world.deps, {
    context: world.context,
    config: CONFIG,
    address: ADDRESS,
    container: undefined,
    waitMs: 3000,
  });

/** The process leaves word of itself as `v6 server run` does. */
function announcing(world: World): void {
  world.processes.onStart = (identity) => {
    const record = {
      ...identity,
      url: URL,
      version: '0.1.0',
      configFile: world.context.configFile,
      logFile: '/log',
      since: '2030-01-01T00:00:00Z',
    };
    world.files.files.set(recordFile(world.context), JSON.stringify(record));
    world.health.set(URL, 200);
    return undefined;
  };
}

const codeOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error: unknown) => (isV6Error(error) ? error.code : String(error)),
  );

describe('a server in a container', () => {
  it('is made without a capability and with a read-only root, and published on the configured ip (upstream: Configured ip is ignored)', () => {
    const { context } = createServerHost();
    const spec = planServerContainer({
      context,
      config: CONFIG,
      address: { ip: '192.0.2.1', port: 7700 },
      image: 'v6-runtime:1',
      user: USER,
      network: 'bridge',
    });
    expect(spec).toMatchObject({
      name: 'vantage6-trial-user-server',
      capabilities: [],
      readOnlyRoot: true,
      user: '1000:100',
      restart: 'unless-stopped',
      // Upstream publishes on all addresses, whatever `ip` says.
      publish: [{ container: 5000, host: 7700, hostAddress: '192.0.2.1', protocol: 'tcp' }],
      labels: { 'v6.kind': 'server', 'vantage6-type': 'server', name: 'trial', 'v6.scope': 'user' },
      mounts: [
        { source: context.configFile, target: context.configFile, readOnly: true },
        { source: context.dataDir, target: context.dataDir },
      ],
    });
  });

  it('gets the folder of a database elsewhere and the files of its certificate', () => {
    const { context } = createServerHost();
    const text =
      'uri: sqlite:////srv/db/t.sqlite\ntls: { certificate: /etc/c.pem, key: /etc/k.pem }\n';
    const { mounts = [] } = planServerContainer({
      context,
      config: parseServerConfig(text, 'f'),
      address: ADDRESS,
      image: 'i',
      user: USER,
      network: 'bridge',
    });
    expect(mounts.slice(2)).toEqual([
      { source: '/srv/db', target: '/srv/db' },
      { source: '/etc/c.pem', target: '/etc/c.pem', readOnly: true },
      { source: '/etc/k.pem', target: '/etc/k.pem', readOnly: true },
    ]);
  });

  it('starts, is left alone at a second start, and is gone after the stop', async () => {
    const world = createServerHost();
    world.health.set(URL, 200);
    expect(await inContainer(world)).toMatchObject({
      state: 'started',
      how: 'container',
      url: URL,
    });
    expect(await inContainer(world)).toMatchObject({ state: 'unchanged', notes: [] });
    const other = await inContainer(world, 'v6-runtime:2');
    expect(other.notes.join()).toContain('image of another version');
    expect(await stopServer(world.deps, world.context)).toMatchObject({ how: 'container' });
    expect(world.engine.held().containers).toEqual([]);
    expect(await codeOf(stopServer(world.deps, world.context))).toBe('V6_SERVER_NOT_RUNNING');
  });

  it('goes on when it is not healthy in time, and says what it answers', async () => {
    const world = createServerHost();
    world.health.set(URL, 503);
    const failed = inContainer(world);
    await expect(failed).rejects.toMatchObject({
      code: 'V6_SERVER_NOT_READY',
      message: expect.stringContaining('answers 503 after 3 s') as string,
    });
    expect(world.engine.held().containers).toEqual(['vantage6-trial-user-server']);
  });

  it('is removed when it ends at once, with the error that it said itself', async () => {
    const world = createServerHost();
    const { engine } = world;
    Object.assign(engine.options, {
      program: () => ({
        exitCode: 69,
        output: 'Error V6_DATABASE: The database db:5432/v6 does not answer\n  → Start it.\n',
      }),
    });
    await expect(inContainer(world)).rejects.toMatchObject({
      code: 'V6_DATABASE',
      hints: ['Start it.'],
    });
    expect(engine.held().containers).toEqual([]);
    expect(world.files.folders.has(world.context.dataDir)).toBe(false);
  });

  it('needs its image', async () => {
    expect(await codeOf(inContainer(createServerHost(), 'v6-runtime:9'))).toBe(
      'V6_IMAGE_NOT_FOUND',
    );
  });

  it('leaves a container alone that v6 did not make', async () => {
    const world = createServerHost();
    const name = 'vantage6-trial-user-server';
    const stranger = { name, image: 'v6-runtime:1', labels: {}, capabilities: [] };
    await world.engine.containers.create(stranger);
    expect(await codeOf(inContainer(world))).toBe('V6_ENGINE_CONFLICT');
    expect(await codeOf(stopServer(world.deps, world.context))).toBe('V6_ENGINE_CONFLICT');
    expect(world.engine.held().containers).toEqual([name]);
  });
});

describe('a server as a process', () => {
  it('starts with its log, is left alone at a second start, and ends by SIGTERM', async () => {
    const world = createServerHost({ hasEngine: false });
    announcing(world);
    const started = await asProcess(world);
    expect(started).toMatchObject({ state: 'started', how: 'process', pid: 101 });
    expect(world.processes.started[0]).toEqual(
      expect.arrayContaining(['server', 'run', '--log-file', started.logFile]),
    );
    expect(await asProcess(world)).toMatchObject({ state: 'unchanged', pid: 101 });
    expect(await stopServer(world.deps, world.context)).toMatchObject({ isClean: true });
    expect(world.processes.signals).toEqual(['SIGTERM 101']);
    expect(await world.files.isThere(world.context.runDir)).toBe(false);
  });

  it('is killed when it does not hear, and that is told', async () => {
    const world = createServerHost({ hasEngine: false });
    announcing(world);
    world.processes.ignores = 'SIGTERM';
    await asProcess(world);
    expect(await stopServer(world.deps, world.context)).toMatchObject({ isClean: false });
    expect(world.processes.signals).toEqual(['SIGTERM 101', 'SIGKILL 101']);
  });

  it('is not there when another process has its number', async () => {
    const world = createServerHost({ hasEngine: false });
    announcing(world);
    await asProcess(world);
    world.processes.alive.set(101, { pid: 101, startedAtTick: 'later-boot/7' });
    expect(await codeOf(stopServer(world.deps, world.context))).toBe('V6_SERVER_NOT_RUNNING');
    expect(world.processes.signals).toEqual([]);
    expect(await asProcess(world)).toMatchObject({ state: 'started', pid: 102 });
  });

  it('that ends at once is told by its own words, not by those of an earlier start', async () => {
    const world = createServerHost({ hasEngine: false });
    const log = `${world.context.logDir}/server_user.log`;
    world.logs.texts.set(log, 'Error V6_BUG: long ago\n');
    world.processes.onStart = () => {
      world.logs.texts.set(log, 'Error V6_BUG: long ago\nError V6_NET_PORT_IN_USE: taken\n');
      return 69;
    };
    expect(await codeOf(asProcess(world))).toBe('V6_NET_PORT_IN_USE');
  });

  it('is found even when the engine refuses us, and only then is that an error', async () => {
    const world = createServerHost({ hasEngine: false });
    announcing(world);
    await asProcess(world);
    const engineProblem = new V6Error('V6_ENGINE_PERMISSION', 'refused');
    const deps = { ...world.deps, engineProblem };
    expect(await stopServer(deps, world.context)).toMatchObject({ how: 'process' });
    expect(await codeOf(stopServer(deps, world.context))).toBe('V6_ENGINE_PERMISSION');
  });
});

describe('addresses and places of a server', () => {
  it('are told as this machine reaches them', () => {
    expect(localServerUrl({ ip: '0.0.0.0', port: 1 }, CONFIG)).toBe('http://127.0.0.1:1/api');
    expect(localServerUrl({ ip: '::', port: 1 }, CONFIG)).toBe('http://127.0.0.1:1/api');
    expect(localServerUrl({ ip: 'fd00::1', port: 1 }, CONFIG)).toBe('http://[fd00::1]:1/api');
    expect(publishedAddress('localhost')).toBe('127.0.0.1');
    expect(() => publishedAddress('db.example.org')).toThrow('cannot be published');
  });

  it('are shown without a password', () => {
    expect(databasePlace('sqlite:///a.sqlite', '/data').location).toBe('/data/a.sqlite');
    expect(databasePlace('sqlite:////srv/a.sqlite', '/data').location).toBe('/srv/a.sqlite');
    expect(databasePlace('postgresql+psycopg2://u:secret@db/v6?x=1', '/data')).toEqual({
      kind: 'postgresql',
      location: 'db:5432/v6',
    });
  });

  it('never go with a password into the environment of a container', () => {
    expect(hasPassword('postgresql://u:p@db/v6')).toBe(true);
    expect(hasPassword('postgresql://u@db/v6?password=p')).toBe(true);
    expect(hasPassword('postgresql://u@db/v6')).toBe(false);
    expect(hasPassword('sqlite:////srv/a:b@c')).toBe(false);
    expect(() => refuseSecretInEnvironment('postgresql://u:p@db/v6')).toThrow('holds a password');
    expect(() => refuseSecretInEnvironment('postgresql://u@db/v6')).not.toThrow();
  });

  it('warn of a localhost that a container takes for itself', () => {
    const config = parseServerConfig('uri: postgresql://u@localhost/v6\n', 'f');
    expect(containerWarnings(config, 'bridge')).toHaveLength(1);
    expect(containerWarnings(config, 'host')).toEqual([]);
  });
});

describe('the record of a process', () => {
  it('is refused when it is not one', () => {
    for (const text of ['', 'null', '{', '{"pid":1}', '[]', '{"pid":-1,"startedAtTick":"a"}'])
      expect(parseRecord(text)).toBe(undefined);
  });
});
