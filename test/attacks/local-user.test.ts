import { chmod, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Attempt, refuses } from '../support/attack.ts';
import { MeshLab, type MeshRun } from '../support/mesh-lab.ts';

/** nobody and nogroup, on any Linux. */
const NOBODY = { uid: 65_534, gid: 65_534 };

let lab: MeshLab;
let run: MeshRun;
/** Of the node: what it keeps, and what it has while it runs. */
let dataDir: string;
let runDir: string;

/** Whether a program ends well when this user, or root, starts it on the host. */
async function does(
  command: readonly string[],
  who: { uid?: number; gid?: number },
): Promise<boolean> {
  const [file = '', ...words] = command;
  const { exitCode } = await execa(file, words, {
    ...who,
    reject: false,
    timeout: 5000,
    input: '',
    cwd: '/',
  });
  return exitCode === 0;
}
const both = (what: string, command: () => readonly string[]): Attempt => [
  what,
  () => does(command(), NOBODY),
  () => does(command(), {}),
];
const read = (what: string, file: () => string) =>
  both(what, () => ['/usr/bin/head', '-c', '1', file()]);
const speak = (what: string, file: () => string) =>
  both(what, () => ['socat', '-u', '-T', '1', 'OPEN:/dev/null', `UNIX-CONNECT:${file()}`]);
const own = (kind: 'task' | 'tmp'): string =>
  path.join(dataDir, 'data', `${kind}-${String(run.id).padStart(9, '0')}`);

describe('another user of the host', () => {
  beforeAll(async () => {
    lab = await MeshLab.up('atku', { nodes: 1 });
    const task = await lab.startTask([lab.node(1)]);
    const [first] = task.runs;
    if (first === undefined) throw new Error('no run');
    run = first;
    ({ dataDir, runDir } = lab.node(1).daemon.context);
    // The folders of the test keep everybody out; a real node's lie in /var, /run or a home.
    const { path: root } = lab.vpn.folder;
    for (const base of [dataDir, runDir])
      for (let folder = path.dirname(base); folder.startsWith(root); folder = path.dirname(folder))
        await chmod(folder, 0o755);
    await writeFile(path.join(root, 'open'), 'x', { mode: 0o644 });
    await writeFile(path.join(own('tmp'), 'left'), '#!/bin/sh\n', { mode: 0o4755 });
  });
  afterAll(() => lab?.remove());

  it('does get to what is open, so that what follows is about the files themselves', async () => {
    expect(
      await does(['/usr/bin/head', '-c', '1', path.join(lab.vpn.folder.path, 'open')], NOBODY),
    ).toBe(true);
    expect((await readdir(path.join(runDir, 'proxy'))).length).toBeGreaterThan(0);
  });

  refuses([
    read('the token of a run', () => path.join(own('task'), 'token')),
    read('the input of a run', () => path.join(own('task'), 'input')),
    both('a program that an algorithm left', () => [path.join(own('tmp'), 'left')]),
    both('the list of runs', () => ['ls', path.join(dataDir, 'data')]),
    read('the record of a run', () => path.join(dataDir, 'runs', `${run.id}.json`)),
    read('the key of the tunnel', () => path.join(dataDir, 'vpn', 'vpn-config.ovpn.conf')),
    read('the key of the tunnel in the VPN client’s folder', () =>
      path.join(runDir, 'client', 'client.ovpn'),
    ),
    speak('the control of the node', () => path.join(runDir, 'daemon.sock')),
    speak('the proxy of a run', () => path.join(runDir, 'proxy', 'slot-0.sock')),
    both('the folder of openvpn’s socket', () => ['ls', path.join(runDir, 'mgmt')]),
    both('the state of the VPN client', () => ['ls', path.join(runDir, 'state')]),
  ]);
});
