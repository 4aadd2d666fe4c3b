import type { ChildProcess } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import type { Server } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectEngine } from '../../src/adapters/docker/engine.ts';
import type { Engine } from '../../src/core/engine/engine.ts';
import { names } from '../../src/core/labels.ts';
import { TestCoordination, type TestNode } from '../support/coordination.ts';
import { vpnImage } from '../support/docker.ts';
import { childOf, hasEnded } from '../support/name-spaces.ts';
import { type PrivateEngine, startPrivateEngine } from '../support/private-engine.ts';
import { relayServer } from '../support/server-relay.ts';
import { type TempFolder, tempFolder } from '../support/temp-folder.ts';
import { buildTestAlgorithm, TestNodeDaemon } from '../support/test-node.ts';
import { until } from '../support/wait.ts';

const SCOPE = 'demo-restart';
const IMAGE = 'v6-test-restart-algorithm:1';
const RUN_LIMIT_MS = 30_000;

/** Asks its proxy again and again until it may end, and writes down whether it was answered. */
const PROGRAM = String.raw`
d=$(echo /mnt/data/task-*); in=$(cat $d/input)
beat() { printf 'GET /version HTTP/1.0\r\nHost: proxyserver\r\n\r\n' | socat -t 5 - TCP:proxyserver:8080,shut-none | grep -c '"version"'; }
case "$in" in
  *'"beat"'*) while [ ! -e /mnt/tmp/go ]; do beat >> /mnt/tmp/beats; sleep 0.1; done; printf '"held"' > $d/output;;
  *'"echo"'*) printf '"echo"' > $d/output;;
esac
`;

/** A node of our sources beside an engine of its own, where both can be ended as they like. */
class RestartWorld {
  readonly machine: PrivateEngine;
  readonly engine: Engine;
  readonly node: TestNodeDaemon;
  readonly #relay: Server;
  readonly #coordination: TestCoordination;
  readonly #organization: number;
  process: ChildProcess | undefined;

  private constructor(
    machine: PrivateEngine,
    engine: Engine,
    node: TestNodeDaemon,
    relay: Server,
    of: TestNode,
  ) {
    this.machine = machine;
    this.engine = engine;
    this.node = node;
    this.#relay = relay;
    this.#coordination = world;
    this.#organization = of.organization;
  }

  static async open(name: string, liveRestore: boolean, of: TestNode): Promise<RestartWorld> {
    const machine = await startPrivateEngine({ iptables: 'nft', liveRestore });
    await machine.load([image]);
    const engine = await connectEngine({ socketPath: machine.socket });
    await buildTestAlgorithm(
      engine,
      path.join(folder.path, `${name}-image`),
      image,
      IMAGE,
      PROGRAM,
    );
    const relay = await relayServer(machine, world.port);
    const node = new TestNodeDaemon({
      name,
      scope: SCOPE,
      root: folder.path,
      engine,
      vpnImage: image,
      apiKey: of.apiKey,
      port: world.port,
      config: ['isolated_range: 10.205.0.0/24'],
      launch: (command, env) => machine.spawn(command, { env }),
    });
    return new RestartWorld(machine, engine, node, relay, of);
  }

  async startNode(): Promise<void> {
    this.process = await this.node.spawn();
  }

  /** The process inside; what the test holds is what led it there. */
  signalNode(signal: 'SIGTERM' | 'SIGKILL'): void {
    if (this.process !== undefined) process.kill(childOf(this.process), signal);
  }

  async nodeEnds(): Promise<void> {
    await until(
      'the process of the node ends',
      60_000,
      () => this.process === undefined || hasEnded(this.process),
    );
  }

  async startRun(method: string): Promise<number> {
    const { runs } = await this.#coordination.createTask(IMAGE, [this.#organization], { method });
    return runs[0] ?? 0;
  }

  /** A run whose algorithm has been answered by its proxy. */
  async beating(): Promise<number> {
    const run = await this.startRun('beat');
    await until('it runs', RUN_LIMIT_MS, async () => (await world.run(run)).status === 'active');
    await this.beats(run);
    return run;
  }

  /** More answers of the proxy than now, and all of them so far: 1 for an answer, 0 for none. */
  async beats(run: number): Promise<readonly string[]> {
    const file = path.join(this.temporary(run), 'beats');
    const read = async () => (await readFile(file, 'utf8').catch(() => '')).trim().split('\n');
    const { length } = await read();
    return until(
      'the algorithm is answered',
      RUN_LIMIT_MS,
      read,
      (lines) => lines.length > length + 1,
    );
  }

  temporary(run: number): string {
    return path.join(this.node.context.dataDir, 'data', `tmp-${String(run).padStart(9, '0')}`);
  }

  async letEnd(run: number): Promise<void> {
    await writeFile(path.join(this.temporary(run), 'go'), '');
  }

  container(run: number) {
    return this.engine.containers.find(names.algorithm(this.node.context.name, run, SCOPE));
  }

  ended(run: number) {
    return until(
      `run ${run} ends`,
      RUN_LIMIT_MS,
      () => world.run(run),
      ({ finished_at }) => finished_at !== null,
    );
  }

  async close(): Promise<void> {
    this.#relay.close();
    await this.machine[Symbol.asyncDispose]();
  }
}

let folder: TempFolder;
let image: string;
let world: TestCoordination;
let nodes: readonly TestNode[];

beforeAll(async () => {
  folder = await tempFolder();
  image = await vpnImage(await connectEngine());
  world = await TestCoordination.start(path.join(folder.path, 'server'));
  nodes = await world.createNodes(['alpha', 'beta']);
});
afterAll(async () => {
  await world?.server.stop();
  await folder?.remove();
});

describe('a restart of an engine with live-restore', () => {
  let at: RestartWorld;
  beforeAll(async () => {
    at = await RestartWorld.open('alpha', true, nodes[0] as TestNode);
    await at.startNode();
  });
  afterAll(() => at?.close());

  it.each(['SIGTERM', 'SIGKILL'] as const)(
    'by %s: runs, and what flows in them, go on',
    async (how) => {
      const run = await at.beating();
      const pid = (await at.container(run))?.pid;
      await at.machine.restart(how);
      const beats = await at.beats(run);
      expect(beats).not.toContain('0');
      expect((await at.container(run))?.pid).toBe(pid);
      expect((await world.run(run)).finished_at).toBeNull();
      await at.letEnd(run);
      expect(await at.ended(run)).toMatchObject({ status: 'completed' });
      expect(await world.result(run)).toBe('"held"');
    },
  );

  it('collects what ended while the engine was away', async () => {
    const run = await at.beating();
    await at.machine.stop();
    await at.letEnd(run);
    const pause = Date.now();
    await at.machine.start();
    const { status, finished_at } = await at.ended(run);
    expect(status).toBe('completed');
    expect(await world.result(run)).toBe('"held"');
    expect(Math.abs(Date.parse(`${String(finished_at)}Z`) - pause)).toBeLessThan(60_000);
    await until('its container goes', 30_000, async () => (await at.container(run)) === undefined);
  });

  it('leaves runs to the next daemon when the node stops meanwhile', async () => {
    const run = await at.beating();
    await at.machine.stop();
    at.signalNode('SIGTERM');
    await at.nodeEnds();
    expect((await world.run(run)).finished_at).toBeNull();
    await at.machine.start();
    await at.startNode();
    await at.letEnd(run);
    expect(await at.ended(run)).toMatchObject({ status: 'completed' });
    expect(at.node.log.join('')).not.toContain('live-restore": true');
  });
});

describe('a restart of an engine without live-restore', () => {
  let at: RestartWorld;
  beforeAll(async () => {
    at = await RestartWorld.open('beta', false, nodes[1] as TestNode);
    await at.startNode();
  });
  afterAll(() => at?.close());

  const CAUSE = 'The container engine was stopped or restarted while the algorithm ran';

  it.each(['SIGTERM', 'SIGKILL'] as const)(
    'by %s: each run ends once with that cause, and the node goes on',
    async (how) => {
      expect(at.node.log.join('')).toContain('live-restore');
      const run = await at.beating();
      await at.machine.restart(how);
      const { status, log } = await at.ended(run);
      expect({ status, log }).toMatchObject({
        status: 'failed',
        log: expect.stringContaining(CAUSE),
      });
      await until(
        'its container goes',
        30_000,
        async () => (await at.container(run)) === undefined,
      );
      const next = await at.startRun('echo');
      expect(await at.ended(next)).toMatchObject({ status: 'completed' });
    },
  );

  it('while the node stops with it: the runs are told at once, and the next start cleans up', async () => {
    const run = await at.beating();
    await at.machine.stop();
    at.signalNode('SIGTERM');
    await at.nodeEnds();
    const { status, log } = await world.run(run);
    expect(status).toBe('failed');
    expect(log).toContain(CAUSE);
    await at.machine.start();
    await at.startNode();
    expect(await at.container(run)).toBeUndefined();
    const next = await at.startRun('echo');
    expect(await at.ended(next)).toMatchObject({ status: 'completed' });
  });

  it('together with a killed daemon: the cause is found afterwards', async () => {
    const run = await at.beating();
    at.signalNode('SIGKILL');
    await at.nodeEnds();
    await at.machine.restart();
    await at.startNode();
    const { status, log } = await at.ended(run);
    expect(status).toBe('failed');
    expect(log).toContain(CAUSE);
  });
});
