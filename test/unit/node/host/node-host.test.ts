import { beforeEach, describe, expect, it } from 'vitest';
import { contextFor } from '../../../../src/core/context.ts';
import { type ErrorCode, V6Error } from '../../../../src/core/errors.ts';
import { labelsFor } from '../../../../src/core/labels.ts';
import { parseCidr } from '../../../../src/core/net/ipv4.ts';
import type { Verdict } from '../../../../src/core/protocol/daemon.ts';
import { daemonWarnings } from '../../../../src/node/host/daemon-end.ts';
import { nodeLogs } from '../../../../src/node/host/node-logs.ts';
import { removeNode } from '../../../../src/node/host/remove-node.ts';
import { type StartDeps, startNode } from '../../../../src/node/host/start-node.ts';
import { listNodes, stopNode, stopNodes } from '../../../../src/node/host/stop-node.ts';
import type { DaemonClient } from '../../../../src/node/interfaces/daemon-client.ts';
import { TRYING_VERDICT } from '../../../../src/node/vpn/verdict.ts';
import { FakeEngine, type Program } from '../../../fakes/engine.ts';
import { FakeHostFiles } from '../../../fakes/host-files.ts';
import { ManualClock } from '../../../fakes/manual-clock.ts';

const IMAGES = { runtime: 'v6-runtime:abc', vpn: 'v6-vpn:def' };
const USER = { uid: 1000, folders: { HOME: '/home/ann', XDG_RUNTIME_DIR: '/run/user/1000' } };
const CONTEXT = contextFor('node', 'alpha', 'user', {
  home: '/home/ann',
  isRoot: false,
  xdgRuntimeDir: '/run/user/1000',
});
const CONTAINER = 'vantage6-alpha-user';
const CONNECTED: Verdict = {
  state: 'connected',
  rung: 'existing',
  vpnAddress: '10.76.0.5',
  portalCalls: 0,
  warning: null,
  steps: [{ rung: 'existing', outcome: 'connected as 10.76.0.5' }],
};

/** Sleeps without waiting: every pause lets time pass. */
class QuickClock extends ManualClock {
  override async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await this.turn(ms);
  }
}

let files: FakeHostFiles;
let clock: QuickClock;
let undone: string[];

beforeEach(() => {
  files = new FakeHostFiles();
  clock = new QuickClock();
  undone = [];
});

function engineWith(program?: Program): FakeEngine {
  return new FakeEngine({
    images: Object.values(IMAGES),
    ...(program === undefined ? {} : { program: () => program }),
  });
}

function deps(
  engine: FakeEngine,
  verdicts: readonly (Verdict | ErrorCode)[] = [CONNECTED],
): StartDeps {
  const left = [...verdicts];
  const verdict = async (waitMs: number): Promise<Verdict> => {
    const next = (left.length > 1 ? left.shift() : left[0]) ?? CONNECTED;
    if (typeof next === 'string') throw new V6Error(next, 'the fake daemon was told to');
    if (next.state === 'trying') await clock.turn(waitMs);
    return next;
  };
  return {
    engine,
    files,
    clock,
    daemonIn: () => ({ verdict }) as unknown as DaemonClient,
    undoHostRules: async ({ scope, name }) => {
      undone.push(`${scope}/${name}`);
    },
  };
}

const input = { context: CONTEXT, images: IMAGES, engineSocket: '/run/docker.sock', user: USER };

describe('startNode', () => {
  it('starts the daemon as the design has it, and gives its verdict', async () => {
    const engine = engineWith();
    const started = await startNode(deps(engine, ['V6_NODE_NOT_RUNNING', CONNECTED]), {
      ...input,
      labels: { extra: 'yes' },
      hosts: { portal: '192.0.2.9' },
    });
    expect(started).toEqual({
      name: 'alpha',
      scope: 'user',
      container: CONTAINER,
      vpn: CONNECTED,
      warnings: [],
      socket: '/run/user/1000/v6/user/alpha/daemon.sock',
    });
    expect(engine.specOf(CONTAINER)).toMatchObject({
      image: 'v6-runtime:abc',
      labels: { 'v6.kind': 'node', 'v6.node': 'alpha', 'vantage6-type': 'node', extra: 'yes' },
      command: [
        'node',
        'run',
        '--config',
        '/home/ann/.config/vantage6/node/alpha.yaml',
        '--name',
        'alpha',
        '--user',
        '--vpn-image',
        'v6-vpn:def',
      ],
      env: {
        HOME: '/home/ann',
        XDG_RUNTIME_DIR: '/run/user/1000',
        V6_HOST_UID: '1000',
        TINI_SUBREAPER: '1',
        NODE_OPTIONS: '--disable-warning=DEP0169',
      },
      networkMode: 'host',
      pidMode: 'host',
      restart: 'unless-stopped',
      hosts: { portal: '192.0.2.9' },
    });
    const mounts = engine.specOf(CONTAINER)?.mounts ?? [];
    expect(mounts[0]).toEqual({ source: '/run/docker.sock', target: '/var/run/docker.sock' });
    expect(mounts[1]).toMatchObject({ source: CONTEXT.configFile, readOnly: true });
    for (const { source, target } of mounts.slice(1)) expect(target).toBe(source);
    expect(mounts.slice(2).map(({ source }) => source)).toEqual([
      CONTEXT.dataDir,
      CONTEXT.logDir,
      CONTEXT.runDir,
    ]);
    for (const folder of [CONTEXT.dataDir, CONTEXT.logDir, CONTEXT.runDir])
      expect(files.folders.has(folder)).toBe(true);
  });

  it('binds a private key that lies outside of its folders, and nothing else of that folder', async () => {
    const engine = engineWith();
    const inside = `${CONTEXT.dataDir}/private_key.pem`;
    await startNode(deps(engine), { ...input, privateKeyFile: inside });
    const sources = () => (engine.specOf(CONTAINER)?.mounts ?? []).map(({ source }) => source);
    expect(sources()).not.toContain(inside);
    await engine.containers.remove(CONTAINER);
    await startNode(deps(engine), { ...input, privateKeyFile: '/keys/north.pem' });
    expect(engine.specOf(CONTAINER)?.mounts).toContainEqual({
      source: '/keys/north.pem',
      target: '/keys/north.pem',
      readOnly: true,
    });
  });

  it('names a demo beside others by its scope', async () => {
    const engine = engineWith();
    const context = contextFor('node', 'one', 'demo-two', { home: '/root', isRoot: true });
    await startNode(deps(engine), { ...input, context });
    expect(engine.specOf('vantage6-one-demo-two')?.command).toContain('demo-two');
  });

  it('gives what is known when the limit is over', async () => {
    const engine = engineWith();
    const started = await startNode(deps(engine, [TRYING_VERDICT]), {
      ...input,
      verdictLimitMs: 5000,
    });
    expect(started.vpn.state).toBe('trying');
    expect(engine.held().containers).toEqual([CONTAINER]);
  });

  it('counts a node without VPN as started', async () => {
    const warning = { code: 'V6_PORTAL_UNREACHABLE', message: 'no', hints: [] } as const;
    const started = await startNode(
      deps(engineWith(), [{ ...CONNECTED, state: 'without', warning }]),
      input,
    );
    expect(started.vpn.warning?.code).toBe('V6_PORTAL_UNREACHABLE');
  });

  it('gives what the daemon warned of beside the VPN, once', () => {
    const line = (fields: object): string => `${JSON.stringify({ level: 'warn', ...fields })}\n`;
    const overlap = line({
      code: 'V6_NET_OVERLAP',
      message: 'vpn_subnet covers a network of this host',
      subnet: '10.76.1.0/24',
      network: 'the route to eth1',
    });
    const warning = { code: 'V6_VPN_NO_DATA', message: 'x', hints: [] } as const;
    const log = `plain\n${overlap}${overlap}${line(warning)}${line({ message: 'no code' })}`;
    expect(daemonWarnings(log, { ...CONNECTED, warning })).toEqual([
      {
        code: 'V6_NET_OVERLAP',
        message:
          'vpn_subnet covers a network of this host, subnet 10.76.1.0/24, network the route to eth1',
        hints: [],
      },
    ]);
  });

  it.each([
    ['v6-runtime:abc', IMAGES.vpn],
    ['v6-vpn:def', IMAGES.runtime],
  ])('refuses when the image %s is missing, and leaves nothing', async (missing, present) => {
    const engine = new FakeEngine({ images: [present] });
    await expect(startNode(deps(engine), input)).rejects.toMatchObject({
      code: 'V6_IMAGE_NOT_FOUND',
      message: expect.stringContaining(missing) as string,
    });
    expect(engine.held()).toEqual({ containers: [], networks: [] });
    expect([...files.folders]).toEqual(['/']);
  });

  it('refuses a second node of that name and leaves the first alone', async () => {
    const engine = engineWith();
    await startNode(deps(engine), input);
    await expect(startNode(deps(engine), input)).rejects.toMatchObject({
      code: 'V6_NODE_ALREADY_RUNNING',
    });
    expect((await engine.containers.find(CONTAINER))?.state).toBe('running');
  });

  it('takes the place of a daemon that crashed, and leaves its runs to the new one', async () => {
    const engine = engineWith();
    await startNode(deps(engine), input);
    const labels = labelsFor({ kind: 'algorithm', scope: 'user', node: 'alpha', run: 41 });
    await engine.containers.create({ ...STRANGER, name: 'run-41', labels });
    engine.end(CONTAINER, 137);
    await startNode(deps(engine), input);
    expect((await engine.containers.find(CONTAINER))?.state).toBe('running');
    expect(engine.held().containers).toContain('run-41');
  });

  it("does not touch a stranger's container of that name", async () => {
    const engine = engineWith();
    await engine.containers.create({ ...STRANGER, name: CONTAINER });
    const conflict = { code: 'V6_ENGINE_CONFLICT' };
    await expect(startNode(deps(engine), input)).rejects.toMatchObject(conflict);
    await expect(stopNode(deps(engine), CONTEXT)).rejects.toMatchObject(conflict);
    expect(engine.held().containers).toEqual([CONTAINER]);
  });

  it('surfaces what a daemon said that ended at once, and leaves nothing', async () => {
    const engine = engineWith({
      exitCode: 77,
      output:
        '{"level":"info","message":"hello"}\nError V6_AUTH_API_KEY: The server refuses the API key\n  → Check api_key.\n  → Ask for a new one.\n',
    });
    await expect(startNode(deps(engine, ['V6_NODE_NOT_RUNNING']), input)).rejects.toMatchObject({
      code: 'V6_AUTH_API_KEY',
      message: 'The server refuses the API key',
      hints: ['Check api_key.', 'Ask for a new one.'],
      details: { exitCode: 77 },
    });
    expect(engine.held()).toEqual({ containers: [], networks: [] });
    expect([...files.folders]).toEqual(['/']);
  });

  it('surfaces the last error of the log when that is all there is', async () => {
    const line = JSON.stringify({
      level: 'error',
      message: 'The node ends',
      code: 'V6_SERVER_UNREACHABLE',
      error: { message: 'No answer from http://server' },
    });
    const engine = engineWith({ exitCode: 69, output: `${line}\nnot json {\n` });
    await expect(startNode(deps(engine, ['V6_NODE_NOT_RUNNING']), input)).rejects.toMatchObject({
      code: 'V6_SERVER_UNREACHABLE',
      message: 'No answer from http://server',
    });
  });

  it('gives the last lines of a daemon that ended without a code', async () => {
    const engine = engineWith({ exitCode: 1, output: 'exec format error\n' });
    await expect(startNode(deps(engine, ['V6_NODE_NOT_RUNNING']), input)).rejects.toMatchObject({
      code: 'V6_NODE_NOT_READY',
      message: expect.stringContaining('exec format error') as string,
    });
  });

  it('keeps folders that were there before when it undoes a start', async () => {
    await files.ensureFolder(CONTEXT.dataDir);
    const engine = engineWith();
    engine.failAt('containers.start', 1, 'V6_ENGINE_REQUEST');
    await expect(startNode(deps(engine), input)).rejects.toMatchObject({
      code: 'V6_ENGINE_REQUEST',
    });
    expect(engine.held().containers).toEqual([]);
    expect(files.folders.has(CONTEXT.dataDir)).toBe(true);
    expect(files.folders.has(CONTEXT.runDir)).toBe(false);
  });

  it('leaves nothing when its folders cannot be made', async () => {
    files.readOnlyRoot = '/run/user';
    const engine = engineWith();
    await expect(startNode(deps(engine), input)).rejects.toMatchObject({ code: 'V6_CONFIG_WRITE' });
    expect([...files.folders]).toEqual(['/']);
    expect(engine.held().containers).toEqual([]);
  });

  it('undoes the start when it is interrupted', async () => {
    const abort = new AbortController();
    const engine = engineWith();
    const all = deps(engine);
    const interrupting: StartDeps = {
      ...all,
      daemonIn: () =>
        ({
          verdict: async () => {
            abort.abort(new Error('Ctrl-C'));
            return TRYING_VERDICT;
          },
        }) as unknown as DaemonClient,
    };
    await expect(startNode(interrupting, { ...input, signal: abort.signal })).rejects.toMatchObject(
      { code: 'V6_INTERRUPTED' },
    );
    expect(engine.held().containers).toEqual([]);
  });

  it('refuses a name that makes the socket path too long', async () => {
    const context = { ...CONTEXT, runDir: `/run/${'x'.repeat(110)}` };
    await expect(startNode(deps(engineWith()), { ...input, context })).rejects.toMatchObject({
      code: 'V6_CONFIG_INVALID',
    });
  });
});

const STRANGER = { image: IMAGES.runtime, labels: {}, capabilities: [] };

describe('stopNode', () => {
  it('ends the daemon, removes its container and run folder, keeps data and lease', async () => {
    const engine = engineWith();
    await startNode(deps(engine), input);
    const credential = `${CONTEXT.dataDir}/vpn/vpn-config.ovpn.conf`;
    files.others.add(credential);
    const stopped = await stopNode(deps(engine), CONTEXT);
    expect(stopped).toMatchObject({
      name: 'alpha',
      removed: { containers: [], networks: [] },
      remains: { dataDir: CONTEXT.dataDir, hasCredential: true },
    });
    expect(engine.held().containers).toEqual([]);
    expect(files.folders.has(CONTEXT.runDir)).toBe(false);
    expect(files.folders.has('/run/user/1000/v6')).toBe(false);
    expect(files.folders.has(CONTEXT.dataDir)).toBe(true);
    expect(undone).toEqual([]);
  });

  it('removes what a killed daemon left, and nothing of another node', async () => {
    const engine = engineWith();
    const make = async (node: string) => {
      const labels = labelsFor({ kind: 'slot', scope: 'user', node });
      await engine.networks.ensure({
        name: `v6z-user-${node}-1`,
        labels,
        subnet: parseCidr(node === 'alpha' ? '10.99.0.0/29' : '10.99.0.8/29', 'subnet'),
        gateway: (node === 'alpha' ? '10.99.0.1' : '10.99.0.9') as never,
        bridge: `v6z${node}`,
        form: 'slot',
      });
      await engine.containers.create({ ...STRANGER, name: `run-of-${node}`, labels });
    };
    await make('alpha');
    await make('beta');
    const stopped = await stopNode(deps(engine), CONTEXT);
    expect(stopped).toMatchObject({
      isClean: false,
      removed: { containers: ['run-of-alpha'], networks: ['v6z-user-alpha-1'] },
    });
    expect(engine.held()).toEqual({ containers: ['run-of-beta'], networks: ['v6z-user-beta-1'] });
    expect(undone).toEqual(['user/alpha']);
  });

  it('tries every step and lists what failed', async () => {
    const engine = engineWith();
    for (const name of ['one', 'two']) {
      const labels = labelsFor({ kind: 'algorithm', scope: 'user', node: 'alpha', run: 1 });
      await engine.containers.create({ ...STRANGER, name, labels });
    }
    engine.failAt('containers.remove', 1, 'V6_ENGINE_REQUEST');
    await expect(stopNode(deps(engine), CONTEXT)).rejects.toThrow('container one');
    expect(engine.held().containers).toEqual(['one']);
    expect(undone).toEqual(['user/alpha']);
  });

  it('removes the rules of a daemon that was killed and left nothing else', async () => {
    const engine = engineWith();
    await startNode(deps(engine), input);
    engine.end(CONTAINER, 137);
    expect(await stopNode(deps(engine), CONTEXT)).toMatchObject({ isClean: false });
    expect(undone).toEqual(['user/alpha']);
  });

  it('says when there is nothing to stop', async () => {
    const engine = engineWith();
    await expect(stopNode(deps(engine), CONTEXT)).rejects.toMatchObject({
      code: 'V6_NODE_NOT_RUNNING',
    });
    await expect(stopNodes(deps(engine), [])).rejects.toMatchObject({
      code: 'V6_NODE_NOT_RUNNING',
    });
  });

  it('stops all nodes that there are', async () => {
    const engine = engineWith();
    const other = contextFor('node', 'beta', 'system', { home: '/root', isRoot: true });
    await startNode(deps(engine), input);
    await startNode(deps(engine), { ...input, context: other });
    expect(await listNodes(engine)).toEqual([
      { name: 'alpha', scope: 'user' },
      { name: 'beta', scope: 'system' },
    ]);
    expect(await stopNodes(deps(engine), [CONTEXT, other])).toHaveLength(2);
    expect(engine.held().containers).toEqual([]);
  });
});

describe('nodeLogs', () => {
  const follow = false;
  const { signal } = new AbortController();

  async function read(engine: FakeEngine): Promise<string> {
    const pieces: string[] = [];
    for await (const text of nodeLogs(engine, { context: CONTEXT, follow, signal }))
      pieces.push(text);
    return pieces.join('');
  }

  it('gives the output of the daemon', async () => {
    const engine = engineWith({ output: 'one\ntwo\n' });
    const labels = labelsFor({ kind: 'node', scope: 'user', node: 'alpha' });
    const id = await engine.containers.create({ ...STRANGER, name: CONTAINER, labels });
    await engine.containers.start(id);
    expect(await read(engine)).toBe('one\ntwo\n');
  });

  it('says when the node has no container', async () => {
    await expect(read(engineWith())).rejects.toMatchObject({ code: 'V6_NODE_NOT_RUNNING' });
  });
});

describe('removeNode', () => {
  const { configFile, dataDir } = CONTEXT;

  it('removes configuration and data of a stopped node', async () => {
    files.configs.set(configFile, 'api_key: x');
    files.folders.add(dataDir);
    files.others.add(`${dataDir}/vpn/vpn-config.ovpn.conf`);
    const { removed } = await removeNode({ engine: engineWith(), files }, CONTEXT);
    expect(removed).toEqual([configFile, dataDir]);
    expect(files.configs.size).toBe(0);
    expect(files.others.size).toBe(0);
  });

  it('touches nothing of a node that is not stopped', async () => {
    files.configs.set(configFile, 'api_key: x');
    const engine = engineWith();
    await startNode(deps(engine), input);
    await expect(removeNode({ engine, files }, CONTEXT)).rejects.toMatchObject({
      code: 'V6_NODE_ALREADY_RUNNING',
    });
    expect(files.configs.size).toBe(1);
  });

  it('says that there is nothing to remove', async () => {
    await expect(removeNode({ engine: engineWith(), files }, CONTEXT)).rejects.toMatchObject({
      code: 'V6_CONFIG_NOT_FOUND',
    });
  });
});
