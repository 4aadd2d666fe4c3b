import { spawn } from 'node:child_process';
import { access, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ListedServer } from '../../src/server/host/list-servers.ts';
import type { ServerStatus } from '../../src/server/host/server-status.ts';
import type { StartedServer } from '../../src/server/host/start-server.ts';
import { ServerCli } from '../support/server-cli.ts';
import { freePort } from '../support/server-process.ts';
import { until } from '../support/wait.ts';

let home: string;
let cli: ServerCli;
let port: number;

beforeEach(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'v6-start-'));
  // The run folder belongs to the whole machine: a name that no other test has.
  cli = new ServerCli(home, `cli-${path.basename(home)}`);
  port = await freePort();
  await configure(`port: ${port}\n`);
});

afterEach(async () => {
  await cli.run('stop');
  await rm(home, { recursive: true, force: true });
});

async function configure(text: string): Promise<void> {
  await mkdir(path.dirname(cli.configFile), { recursive: true });
  await writeFile(cli.configFile, `uri: sqlite:///trial.sqlite\nip: 127.0.0.1\n${text}`);
}

const runFolder = (): string => `/run/v6/user/${cli.name}@server`;
const isThere = (file: string): Promise<boolean> =>
  access(file).then(
    () => true,
    () => false,
  );

/** False for a process that ended and that nobody has waited for. */
const isAlive = (pid: number | null | undefined): Promise<boolean> =>
  readFile(`/proc/${pid}/stat`, 'utf8').then(
    (line) => !line.slice(line.lastIndexOf(')')).startsWith(') Z'),
    () => false,
  );

describe('v6 server start, where there is no container engine', { timeout: 60_000 }, () => {
  it('starts a process, which status, version, logs and list know, and stop ends without a trace', async () => {
    const started = await cli.json<StartedServer>('start');
    expect(started).toMatchObject({
      state: 'started',
      how: 'process',
      container: null,
      url: `http://127.0.0.1:${port}/api`,
    });
    const status = await cli.json<ServerStatus>('status');
    expect(status).toMatchObject({
      running: true,
      how: 'process',
      pid: started.pid,
      healthy: true,
      nodes: { online: 0, total: 0 },
      database: { kind: 'sqlite', location: path.join(cli.dataDir, 'trial.sqlite') },
      problems: [],
    });
    expect(await cli.json('version')).toMatchObject({ version: status.version });
    const { lines } = await cli.json<{ lines: string[] }>('logs', ['--tail', '1']);
    expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual([
      'Server is ready',
    ]);
    const { servers } = JSON.parse((await cli.bare(['list', '--json'])).stdout) as {
      servers: ListedServer[];
    };
    expect(servers.find(({ name }) => name === cli.name)).toMatchObject({
      running: true,
      foreground: false,
      hasConfig: true,
    });

    const again = await cli.json<StartedServer>('start');
    expect(again).toMatchObject({ state: 'unchanged', pid: started.pid, notes: [] });

    expect(await cli.json('stop')).toEqual({
      servers: [{ name: cli.name, scope: 'user', how: 'process', isClean: true }],
    });
    expect(await isThere(runFolder())).toBe(false);
    expect(await isAlive(started.pid)).toBe(false);
    expect(await cli.failure('stop')).toMatchObject({ status: 69, code: 'V6_SERVER_NOT_RUNNING' });
    expect(await cli.failure('version')).toMatchObject({ status: 69 });
    expect((await cli.run('logs', ['--tail', '1'])).stdout).toContain('Server has stopped');
  });

  it('says what ended a server that ended at once, with its own code, and leaves nothing', async () => {
    await writeFile(cli.configFile, `uri: sqlite:///x.sqlite\nip: 192.0.2.1\nport: ${port}\n`);
    expect(await cli.failure('start')).toMatchObject({ status: 78, code: 'V6_CONFIG_INVALID' });
    expect(await isThere(runFolder())).toBe(false);
    const status = await cli.run('status', ['--json']);
    expect([status.status, (JSON.parse(status.stdout) as ServerStatus).running]).toEqual([
      69,
      false,
    ]);
  });

  it('names a mistake in the configuration before it starts anything', async () => {
    await configure('port: many\n');
    expect(await cli.failure('start')).toMatchObject({ status: 78, code: 'V6_CONFIG_INVALID' });
    await rm(cli.configFile);
    const missing = await cli.failure('start');
    expect(missing).toMatchObject({ status: 78, code: 'V6_CONFIG_NOT_FOUND' });
    expect(missing.hints.join()).toContain('v6 server new');
  });

  it('says when the configuration was changed after the start', async () => {
    await cli.json('start');
    await configure(`port: ${port}\ndescription: another\n`);
    const { notes } = await cli.json<StartedServer>('start');
    expect(notes.join()).toContain('was changed after the server started');
  });

  it('never ends a stranger whose process has the number of a server that died', async () => {
    const stranger = spawn('sleep', ['60'], { stdio: 'ignore' });
    try {
      await mkdir(runFolder(), { recursive: true });
      const record = {
        pid: stranger.pid,
        startedAtTick: 'another-boot/1',
        version: '0.0.0',
        url: 'http://127.0.0.1:9/api',
        configFile: cli.configFile,
        since: new Date().toISOString(),
      };
      await writeFile(path.join(runFolder(), 'server.json'), JSON.stringify(record));
      expect(await cli.failure('stop')).toMatchObject({ code: 'V6_SERVER_NOT_RUNNING' });
      expect(stranger.exitCode).toBe(null);
      expect(await isAlive(stranger.pid)).toBe(true);
      expect(await isThere(runFolder())).toBe(false);
    } finally {
      stranger.kill();
    }
  });

  it('starts anew after the process was killed', async () => {
    const first = await cli.json<StartedServer>('start');
    process.kill(first.pid ?? 0, 'SIGKILL');
    await until('the end of the process', 5000, async () => !(await isAlive(first.pid)));
    const second = await cli.json<StartedServer>('start');
    expect(second.state).toBe('started');
    expect(second.pid).not.toBe(first.pid);
  });

  it('removes configuration and logs when it is told so, and data only with --data', async () => {
    await cli.json('start');
    expect(await cli.failure('remove')).toMatchObject({
      status: 2,
      code: 'V6_USAGE_MISSING_ANSWER',
    });
    expect(await isThere(cli.configFile)).toBe(true);
    const kept = await cli.json<{ remains: string[] }>('remove', ['--yes']);
    expect(kept.remains).toEqual([cli.dataDir]);
    expect(await isThere(cli.configFile)).toBe(false);
    expect(await isThere(path.join(cli.dataDir, 'server-secret'))).toBe(true);
    const gone = await cli.json<{ removed: string[]; remains: string[] }>('remove', [
      '--data',
      '--yes',
    ]);
    expect(gone).toMatchObject({ removed: [cli.dataDir], remains: [] });
    expect(await isThere(cli.dataDir)).toBe(false);
    expect(await cli.failure('remove', ['--yes'])).toMatchObject({ code: 'V6_CONFIG_NOT_FOUND' });
  });

  it('shows where the files are', async () => {
    const { files } = await cli.json<{ files: { what: string; exists: boolean }[] }>('files');
    expect(files.map(({ what, exists }) => [what, exists])).toEqual([
      ['configuration', true],
      ['data', false],
      ['database', false],
      ['secret', false],
      ['logs', false],
      ['run', false],
    ]);
  });
});
