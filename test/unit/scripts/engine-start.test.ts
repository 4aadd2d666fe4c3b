import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  chooseStart,
  findProcess,
  pingEngine,
  removeLeftovers,
  SYSTEM_ENGINE,
  startEngine,
} from '../../../scripts/engine-start.mjs';

let folder: string;
const at = (...names: string[]): string => path.join(folder, ...names);
const engineHere = () => ({
  program: 'dockerd',
  processName: 'dockerd',
  args: [],
  socket: at('engine.sock'),
  pidFile: at('engine.pid'),
  execRoot: at('exec'),
  containerdSocket: at('containerd.sock'),
  log: at('engine.log'),
  isService: false,
});

beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'v6-engine-'));
  mkdirSync(at('exec/containerd'), { recursive: true });
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('leftovers of a killed engine', () => {
  it('go when their process is gone or is another program', async () => {
    // Our own pid: alive, and no engine.
    writeFileSync(at('engine.pid'), String(process.pid));
    writeFileSync(at('exec/containerd/containerd.pid'), '999999999');
    writeFileSync(at('exec/containerd/containerd.sock'), '');
    writeFileSync(at('containerd.sock'), '');
    const removed = await removeLeftovers(engineHere());
    expect(removed).toEqual([
      at('engine.pid'),
      at('exec/containerd/containerd.pid'),
      at('exec/containerd/containerd.sock'),
      at('containerd.sock'),
    ]);
    expect(removed.some((file) => existsSync(file))).toBe(false);
  });

  it('are left alone while their process lives', async () => {
    const comm = readFileSync('/proc/self/comm', 'utf8').trim();
    writeFileSync(at('engine.pid'), String(process.pid));
    expect(findProcess(at('engine.pid'), comm)).toBe(process.pid);
    await removeLeftovers({ ...engineHere(), processName: comm });
    expect(existsSync(at('engine.pid'))).toBe(true);
  });

  it('do not include a socket that somebody listens on', async () => {
    const server = net.createServer().listen(at('containerd.sock'));
    await new Promise((resolve) => server.once('listening', resolve));
    expect(await removeLeftovers(engineHere())).toEqual([]);
    await new Promise((resolve) => server.close(resolve));
  });

  it('are no numbers when the file holds rubbish', () => {
    writeFileSync(at('engine.pid'), 'rubbish');
    expect(findProcess(at('engine.pid'), 'dockerd')).toBeUndefined();
    writeFileSync(at('engine.pid'), '1');
    expect(findProcess(at('engine.pid'), 'systemd')).toBeUndefined();
  });
});

describe('starting the engine', () => {
  it('does nothing when it answers', async () => {
    const server = http.createServer((_, response) => response.end('OK')).listen(at('engine.sock'));
    await new Promise((resolve) => server.once('listening', resolve));
    expect(await pingEngine(at('engine.sock'))).toBe('running');
    const engine = { ...engineHere(), program: '/nonexistent' };
    expect(await startEngine(engine)).toEqual({ started: false, removed: [] });
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  it('fails at once with the end of its log when it ends', async () => {
    const engine = { ...engineHere(), program: '/bin/sh', args: ['-c', 'echo no overlay; exit 4'] };
    const start = startEngine(engine, { timeoutMs: 10_000 });
    await expect(start).rejects.toThrow(/status 4.*engine\.log[^]*no overlay/);
  });

  it('goes through the service manager where there is one', () => {
    const none = { hasSystemd: false, init: 'tini', hasInitScript: true };
    expect(chooseStart(SYSTEM_ENGINE, { ...none, hasSystemd: true })?.[0]).toBe('systemctl');
    expect(chooseStart(SYSTEM_ENGINE, { ...none, init: 'init' })?.[0]).toBe('service');
    expect(chooseStart(SYSTEM_ENGINE, none)).toBeUndefined();
    expect(chooseStart(engineHere(), { ...none, hasSystemd: true })).toBeUndefined();
  });
});
