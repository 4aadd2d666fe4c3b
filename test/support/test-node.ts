import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { hostFolders } from '../../src/cli/context.ts';
import { type Context, contextFor } from '../../src/core/context.ts';
import type { Engine } from '../../src/core/engine/engine.ts';
import { LABEL, type Scope } from '../../src/core/labels.ts';
import type { Logger } from '../../src/core/logger.ts';
import { redact } from '../../src/core/redact.ts';
import { composeNode } from '../../src/node/compose.ts';
import type { NodeDaemon } from '../../src/node/daemon.ts';
import { forgetHostRules } from './host-rules.ts';
import { hasEnded } from './name-spaces.ts';
import { until } from './wait.ts';

/** Long: on a machine whose processors others want as well, a process takes its time. */
const START_LIMIT_MS = 60_000;
const dev = path.resolve(import.meta.dirname, '../../bin/dev.js');

/** A small image whose program does what its input says; runs as nobody, exposes 8888/tcp with a label. */
const PROGRAM = String.raw`
d=$(echo /mnt/data/task-*); in=$(cat $d/input); t=$(cat $d/token)
ask() { printf 'GET %s HTTP/1.0\r\nHost: proxyserver\r\nAuthorization: Bearer %s\r\n\r\n' "$1" "$2" | socat -t 5 - TCP:proxyserver:8080,shut-none | tail -n 1; }
case "$in" in
  *'"echo"'*) printf '{"got":%s}' "$in" > $d/output; echo "said $t";;
  *'"fail"'*) echo broken; exit 3;;
  *'"wait"'*) echo waiting; exec sleep 600;;
  *'"hold"'*) while [ ! -e /mnt/tmp/go ]; do sleep 0.1; done; printf '"held"' > $d/output;;
  *'"late"'*) while [ ! -e /mnt/tmp/go ]; do sleep 0.1; done; exec socat TCP-LISTEN:8888,fork,reuseaddr EXEC:cat;;
  *'"version"'*) ask /version '' > $d/output;;
  *'"stranger"'*) ask /task/1 a.b.c > $d/output;;
  *'"self"'*)
    socat TCP-LISTEN:8888,fork,reuseaddr EXEC:cat &
    a=$(ask '/vpn/algorithm/addresses?only_self=1' "$t")
    ip=$(echo "$a" | sed 's/.*"ip":"\([0-9.]*\)".*/\1/'); port=$(echo "$a" | sed 's/.*"port":\([0-9]*\).*/\1/')
    printf '"%s"' "$(printf hello | socat -t 2 - TCP:$ip:$port,connect-timeout=3)" > $d/output;;
esac
`;

/** Builds the image, on top of the v6-vpn image and without any network. */
export async function buildTestAlgorithm(
  engine: Engine,
  folder: string,
  base: string,
  tag: string,
  program: string = PROGRAM,
  ports: readonly string[] = ['EXPOSE 8888/tcp', 'LABEL p8888=echo'],
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, 'program.sh'), program, { mode: 0o755 });
  const lines = [
    `FROM ${base}`,
    'COPY program.sh /program.sh',
    ...ports,
    'USER 65534',
    'ENTRYPOINT ["/usr/bin/tini", "-g", "--", "/bin/sh", "/program.sh"]',
    'CMD []',
  ];
  await writeFile(path.join(folder, 'Dockerfile'), `${lines.join('\n')}\n`);
  await engine.images.build({ folder, tags: [tag], labels: { 'v6.test': 'node' } });
}

function launchHere([program = '', ...args]: readonly string[], env: Record<string, string>) {
  return spawn(program, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
}

export interface TestNodeOptions {
  readonly name: string;
  readonly scope: Scope;
  /** Folder of the test; the node's lies in it. */
  readonly root: string;
  readonly engine: Engine;
  readonly vpnImage: string;
  readonly apiKey: string;
  readonly port: number;
  /** Further lines of the configuration file, or others in place of the usual ones. */
  readonly config?: readonly string[];
  /** How its process is started; default: on this machine. */
  readonly launch?: (command: readonly string[], env: Record<string, string>) => ChildProcess;
}

/** A node as `v6 node run` makes it, in this process, with its log as lines. */
export class TestNodeDaemon {
  readonly context: Context;
  readonly log: string[] = [];
  readonly #options: TestNodeOptions;
  daemon: NodeDaemon | undefined;
  #child: ChildProcess | undefined;

  constructor(options: TestNodeOptions) {
    this.#options = options;
    const { name, scope, root } = options;
    const configFile = path.join(root, `${name}.yaml`);
    this.context = contextFor('node', name, scope, hostFolders(this.#env()), configFile);
  }

  /** The same node as a process of its own, `v6 node run`; started when its log says so. */
  async spawn(): Promise<ChildProcess> {
    await this.#write();
    const { scope, name, configFile } = this.context;
    const flags = ['--scope', scope, '--name', name, '--config', configFile];
    const args = [dev, 'node', 'run', ...flags, '--vpn-image', this.#options.vpnImage];
    const { launch = launchHere } = this.#options;
    const child = launch([process.execPath, ...args], this.#env());
    this.#child = child;
    child.stderr?.on('data', (chunk: Buffer) => this.log.push(chunk.toString()));
    const earlier = this.log.length;
    const isUp = () => this.log.slice(earlier).join('').includes('The node has started');
    try {
      await until(`the process of ${name} has started`, START_LIMIT_MS, () => {
        if (child.exitCode !== null) throw new Error(this.log.join(''));
        return isUp();
      });
    } catch (error) {
      // Nobody else knows of it yet; left alone it would fight with the next of its name.
      child.kill('SIGKILL');
      throw error;
    }
    return child;
  }

  async start(): Promise<NodeDaemon> {
    const { engine, vpnImage } = this.#options;
    await this.#write();
    this.daemon = await composeNode({
      context: this.context,
      vpnImage,
      engine,
      logger: this.#logger(),
      loginLimitMs: 3000,
    });
    await this.daemon.start(new AbortController().signal);
    return this.daemon;
  }

  /** Containers and networks of this node, by name. */
  async held(): Promise<readonly string[]> {
    const labels = { [LABEL.scope]: this.context.scope, [LABEL.node]: this.context.name };
    const { containers, networks } = this.#options.engine;
    // The engine lists in no order that could be relied on.
    return [...(await containers.list(labels)), ...(await networks.list(labels))]
      .map(({ name }) => name)
      .toSorted();
  }

  /** Takes away what is left, whatever the test did: processes, containers, networks, and rules of this machine. */
  async clean(): Promise<void> {
    await this.#endChild();
    // What it could not undo goes below.
    await this.daemon?.stop().catch(() => undefined);
    const labels = { [LABEL.scope]: this.context.scope, [LABEL.node]: this.context.name };
    const { engine, vpnImage } = this.#options;
    const { containers, networks } = engine;
    for (const { id } of await containers.list(labels)) await containers.remove(id);
    for (const { name } of await networks.list(labels)) await networks.remove(name);
    await forgetHostRules(engine, vpnImage, this.context);
  }

  /** One that a failed test left running: the next daemon of its name would refuse to start beside it. */
  async #endChild(): Promise<void> {
    const child = this.#child;
    if (child === undefined || hasEnded(child)) return;
    child.kill('SIGKILL');
    await until(`the process of ${this.context.name} is gone`, 10_000, () => hasEnded(child));
  }

  async #write(): Promise<void> {
    await mkdir(this.context.dataDir, { recursive: true });
    await writeFile(this.context.configFile, this.#config());
  }

  /** Folders of the test instead of this user's. */
  #env(): Record<string, string> {
    const { root } = this.#options;
    return {
      V6_HOST_UID: '1000',
      XDG_DATA_HOME: path.join(root, 'share'),
      XDG_RUNTIME_DIR: path.join(root, 'r'),
      XDG_CACHE_HOME: path.join(root, 'cache'),
    };
  }

  #config(): string {
    const { apiKey, port, config = [] } = this.#options;
    const usual = [
      `api_key: ${apiKey}`,
      'server_url: http://127.0.0.1',
      `port: ${port}`,
      'api_path: /api',
      'task_dir: /tmp',
      'databases: []',
      'encryption: {enabled: false}',
      'logging: {level: DEBUG}',
      'spare_slots: 1',
      'policies: {require_algorithm_pull: false}',
    ];
    const isSaid = (line: string) => config.some((own) => own.split(':')[0] === line.split(':')[0]);
    return `${[...usual.filter((line) => !isSaid(line)), ...config].join('\n')}\n`;
  }

  #logger(): Logger {
    const line =
      (level: string) =>
      (message: string, fields: Readonly<Record<string, unknown>> = {}): void => {
        this.log.push(`${level} ${message} ${JSON.stringify(redact(fields))}`);
      };
    return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
  }
}
