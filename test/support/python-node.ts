import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import type { Engine } from '../../src/core/engine/engine.ts';
import { addressAt, type Cidr } from '../../src/core/net/ipv4.ts';
import { type PythonProcess, startPython } from './python-venv.ts';
import { freePort } from './server-process.ts';

export interface PythonNodeOptions {
  readonly engine: Engine;
  /** Folder of the test; the node's lies in it. */
  readonly root: string;
  readonly apiKey: string;
  /** Port of the server on loopback. */
  readonly port: number;
  /** Of its own isolated network, for example `10.233.1.0/24`. */
  readonly subnet: string;
  /** PEM file; with it the node takes part in an encrypted collaboration. */
  readonly privateKey?: string;
  /** Label and CSV file. */
  readonly databases?: Readonly<Record<string, string>>;
}

const LABELS = { 'v6.test': 'python-node' };

/** The real Python node (vantage6-node 4.15.2) as a process of this host, without VPN, under a name of its own. */
export class PythonNode {
  readonly name = `v6-test-${randomBytes(3).toString('hex')}`;
  readonly #options: PythonNodeOptions;
  #process: PythonProcess | undefined;

  constructor(options: PythonNodeOptions) {
    this.#options = options;
  }

  get #network(): string {
    return `vantage6-${this.name}-user-net`;
  }

  /** Starts the process; whether it gets anywhere is the caller's to await. */
  async start(): Promise<PythonProcess> {
    const { root, subnet } = this.#options;
    const home = path.join(root, this.name);
    await mkdir(home, { recursive: true });
    const config = path.join(home, `${this.name}.yaml`);
    await writeFile(config, this.#config(home), { mode: 0o600 });
    const gateway = addressAt(subnet as Cidr, 1);
    await this.#makeNetwork(gateway);
    this.#process = await startPython('node.py', {
      home,
      args: ['start', '-c', config, '-n', this.name, '--user'],
      env: {
        PROXY_SERVER_HOST: gateway,
        PROXY_SERVER_PORT: String(await freePort()),
        ...(process.env.DOCKER_HOST === undefined ? {} : { DOCKER_HOST: process.env.DOCKER_HOST }),
      },
    });
    return this.#process;
  }

  /** With a gateway, so that algorithms find the node's proxy, which listens on the host. One that a killed test left goes first. */
  async #makeNetwork(gateway: string): Promise<void> {
    const { engine, subnet } = this.#options;
    for (const { name, subnets } of await engine.networks.list(LABELS))
      if (subnets.some((own) => own === subnet)) await engine.networks.remove(name);
    const label = Object.entries(LABELS).flatMap(([key, value]) => ['--label', `${key}=${value}`]);
    const range = ['--subnet', subnet, '--gateway', gateway];
    await execa('docker', ['network', 'create', ...label, ...range, this.#network]);
  }

  output(): string {
    return this.#process?.output() ?? '';
  }

  /** Ends the process and takes away what it made on the engine. */
  async remove(): Promise<void> {
    await this.#process?.stop();
    const { engine } = this.#options;
    for (const { id } of await engine.containers.list({ node: this.name }))
      await engine.containers.remove(id);
    await engine.networks.remove(this.#network);
    const { stdout } = await execa('docker', [
      'volume',
      'ls',
      '-q',
      '-f',
      `name=vantage6-${this.name}-`,
    ]);
    const volumes = stdout.split('\n').filter(Boolean);
    if (volumes.length > 0) await execa('docker', ['volume', 'rm', '-f', ...volumes]);
  }

  #config(home: string): string {
    const { apiKey, port, privateKey, databases = {} } = this.#options;
    const lines = [
      `api_key: ${apiKey}`,
      'server_url: http://127.0.0.1',
      `port: ${port}`,
      'api_path: /api',
      `task_dir: ${path.join(home, 'tasks')}`,
      'policies: {require_algorithm_pull: false}',
      privateKey === undefined
        ? 'encryption: {enabled: false}'
        : `encryption: {enabled: true, private_key: ${privateKey}}`,
      'logging: {level: DEBUG, use_console: true, backup_count: 2, max_size: 4096, format: "%(asctime)s %(levelname)s %(message)s", datefmt: "%H:%M:%S"}',
    ];
    const entries = Object.entries(databases);
    lines.push(entries.length === 0 ? 'databases: []' : 'databases:');
    for (const [label, uri] of entries) lines.push(`  - {label: ${label}, uri: ${uri}, type: csv}`);
    return `${lines.join('\n')}\n`;
  }
}
