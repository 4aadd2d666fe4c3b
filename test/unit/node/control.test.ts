import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createDaemonClient } from '../../../src/adapters/http/daemon-client.ts';
import { V6Error } from '../../../src/core/errors.ts';
import { silentLogger } from '../../../src/core/logger.ts';
import type {
  DaemonNetwork,
  DaemonStatus,
  DaemonVpn,
  Verdict,
} from '../../../src/core/protocol/daemon.ts';
import { type ControlServer, serveControl } from '../../../src/node/control.ts';
import type { DaemonControl } from '../../../src/node/interfaces/daemon-control.ts';
import { DISCONNECTED_VERDICT, OFF_VERDICT } from '../../../src/node/vpn/verdict.ts';

const STATUS = { pid: 7, queued: 2 } as unknown as DaemonStatus;
const NETWORK: DaemonNetwork = {
  uplink: 'v6a-user-alpha',
  slots: [],
  vpnClient: { container: 'c', running: true, rules: 'table' },
  hostRules: null,
  host: null,
};

const VPN: DaemonVpn = {
  ...OFF_VERDICT,
  level: 'none',
  connectedSince: null,
  remote: null,
  bytes: null,
  certificateExpiresAt: null,
  renewsAt: null,
  lastError: null,
};

class FakeControl implements DaemonControl {
  readonly asked: string[] = [];
  status(): DaemonStatus {
    return STATUS;
  }
  async verdict(waitMs: number): Promise<Verdict> {
    this.asked.push(`verdict ${waitMs}`);
    return OFF_VERDICT;
  }
  async renew(force: boolean): Promise<Verdict> {
    this.asked.push(`renew ${force}`);
    if (force) throw new V6Error('V6_VPN_OFF', 'VPN is off', { hints: ['Set vpn_subnet.'] });
    return OFF_VERDICT;
  }
  async vpn(): Promise<DaemonVpn> {
    return VPN;
  }
  async disconnect(): Promise<Verdict> {
    this.asked.push('disconnect');
    return DISCONNECTED_VERDICT;
  }
  async release(): Promise<Verdict> {
    this.asked.push('release');
    return DISCONNECTED_VERDICT;
  }
  async connect(): Promise<Verdict> {
    this.asked.push('connect');
    return OFF_VERDICT;
  }
  async network(): Promise<DaemonNetwork> {
    return NETWORK;
  }
}

let folder: string;
let runDir: string;
let server: ControlServer | undefined;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'v6-control-'));
  runDir = path.join(folder, 'run', 'alpha');
});

afterEach(async () => {
  await server?.close();
  server = undefined;
  await rm(folder, { recursive: true, force: true });
});

const options = () => ({ runDir, logger: silentLogger });

async function codeOf(action: Promise<unknown>): Promise<string | undefined> {
  return action.then(
    () => undefined,
    (error: V6Error) => error.code,
  );
}

describe('the control socket', () => {
  it('carries all requests of the command line', async () => {
    const control = new FakeControl();
    server = await serveControl(control, options());
    const client = createDaemonClient(runDir, 'alpha');
    expect(await client.status()).toEqual(STATUS);
    expect(await client.verdict(250)).toEqual(OFF_VERDICT);
    expect(await client.verdict(10 ** 9)).toEqual(OFF_VERDICT);
    expect(await client.renew(false)).toEqual(OFF_VERDICT);
    expect(await client.vpn()).toEqual(VPN);
    expect(await client.disconnect()).toEqual(DISCONNECTED_VERDICT);
    expect(await client.release()).toEqual(DISCONNECTED_VERDICT);
    expect(await client.connect()).toEqual(OFF_VERDICT);
    expect(await client.network()).toEqual(NETWORK);
    expect(control.asked).toEqual([
      'verdict 250',
      'verdict 120000',
      'renew false',
      'disconnect',
      'release',
      'connect',
    ]);
  });

  it('carries an error with its code and next step', async () => {
    server = await serveControl(new FakeControl(), options());
    const renewal = createDaemonClient(runDir, 'alpha').renew(true);
    await expect(renewal).rejects.toMatchObject({
      code: 'V6_VPN_OFF',
      message: 'VPN is off',
      hints: ['Set vpn_subnet.'],
    });
  });

  it('is open to its owner and group only', async () => {
    server = await serveControl(new FakeControl(), options());
    expect((await stat(server.socketPath)).mode & 0o777).toBe(0o660);
    expect((await stat(runDir)).mode & 0o007).toBe(0);
  });

  it('takes the place of a socket that a crash left behind', async () => {
    await mkdir(runDir, { recursive: true });
    await writeFile(path.join(runDir, 'daemon.sock'), '');
    server = await serveControl(new FakeControl(), options());
    expect(await createDaemonClient(runDir, 'alpha').status()).toEqual(STATUS);
  });

  it('refuses to take the place of a living daemon', async () => {
    server = await serveControl(new FakeControl(), options());
    expect(await codeOf(serveControl(new FakeControl(), options()))).toBe(
      'V6_NODE_ALREADY_RUNNING',
    );
    expect(await createDaemonClient(runDir, 'alpha').status()).toEqual(STATUS);
  });

  it('refuses a path that the system cannot hold', async () => {
    runDir = path.join(folder, 'x'.repeat(100));
    expect(await codeOf(serveControl(new FakeControl(), options()))).toBe('V6_CONFIG_INVALID');
  });

  it('is gone after it is closed, and closing twice is fine', async () => {
    server = await serveControl(new FakeControl(), options());
    await server.close();
    await server.close();
    expect(await codeOf(createDaemonClient(runDir, 'alpha').status())).toBe('V6_NODE_NOT_RUNNING');
  });

  it('refuses what it does not know, and what is too long', async () => {
    server = await serveControl(new FakeControl(), options());
    const { socketPath } = server;
    const statusOf = (method: string, route: string, body = ''): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        request({ socketPath, method, path: route }, (response) => {
          response.resume();
          resolve(response.statusCode);
        })
          .on('error', reject)
          .end(body);
      });
    expect(await statusOf('GET', '/secrets')).toBe(404);
    expect(await statusOf('POST', '/status')).toBe(404);
    expect(await statusOf('GET', '/verdict?waitMs=soon')).toBe(400);
    expect(await statusOf('POST', '/vpn/renew', '{')).toBe(400);
    expect(await statusOf('POST', '/vpn/renew', ' '.repeat(5000))).toBe(400);
  });
});

describe('the client of the control socket', () => {
  const others: Server[] = [];

  afterEach(async () => {
    for (const other of others.splice(0)) await new Promise((resolve) => other.close(resolve));
  });

  async function listen(onLine: (write: (text: string) => void) => void): Promise<void> {
    await mkdir(runDir, { recursive: true });
    const other = createServer((socket) => {
      socket.once('data', () => onLine((text) => socket.end(text)));
    });
    others.push(other);
    await new Promise<void>((resolve) => other.listen(path.join(runDir, 'daemon.sock'), resolve));
  }

  it('says that the node is not running when nobody is there', async () => {
    const error = await createDaemonClient(runDir, 'alpha')
      .status()
      .catch((thrown: V6Error) => thrown);
    expect(error).toMatchObject({
      code: 'V6_NODE_NOT_RUNNING',
      hints: ['Start it: v6 node start --name alpha'],
    });
  });

  it('takes an answer that is no JSON for a node that is not ready', async () => {
    await listen((write) => write('HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello'));
    expect(await codeOf(createDaemonClient(runDir, 'alpha').status())).toBe('V6_NODE_NOT_READY');
  });

  it('ends with the reason of the signal', async () => {
    await listen(() => undefined);
    const abort = new AbortController();
    const verdict = createDaemonClient(runDir, 'alpha').verdict(60_000, abort.signal);
    abort.abort(new Error('enough'));
    await expect(verdict).rejects.toThrow('enough');
  });
});
