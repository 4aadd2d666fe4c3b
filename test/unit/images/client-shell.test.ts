import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { inTempFolder, type TempFolder, tempFolder } from '../../support/temp-folder.ts';
import { until } from '../../support/wait.ts';

const CLIENT = path.join(import.meta.dirname, '../../../images/vpn/client.sh');

const isAlive = (pid: number): boolean => {
  try {
    // After the name, which is in brackets. A zombie does nothing any more.
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.startsWith('Z');
  } catch {
    return false;
  }
};

describe('a new shell of commands in the VPN client', () => {
  let folder: TempFolder;
  let shells: ChildProcess[];

  beforeEach(async () => {
    folder = await tempFolder();
    shells = [];
  });
  afterEach(async () => {
    for (const name of ['child', 'relay']) {
      const pid = await numberIn(name).catch(() => 0);
      if (pid > 0 && isAlive(pid)) process.kill(pid, 'SIGKILL');
    }
    for (const shell of shells) shell.kill('SIGKILL');
    await folder.remove();
  });

  const file = (name: string): string => path.join(folder.path, name);
  const numberIn = async (name: string): Promise<number> =>
    Number((await readFile(file(name), 'utf8')).trim());

  /** As the engine starts one: the leader of its group. Resolves when it has taken over. */
  const takeOver = async (): Promise<ChildProcess> => {
    const shell = spawn('/bin/sh', [], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
    shells.push(shell);
    shell.stdin?.write(`. ${CLIENT}; V6_RUN=${folder.path}; only_shell\n`);
    await until(
      'it has taken over',
      5000,
      async () => (await numberIn('shell.pid').catch(() => 0)) === shell.pid,
    );
    return shell;
  };

  it('ends the one whose stream was lost with what it has started, and no relay', async () => {
    const old = await takeOver();
    old.stdin?.write(`( setsid sleep 60 </dev/null >/dev/null & echo "$!" >${file('relay')} )\n`);
    old.stdin?.write(`sh -c 'echo "$$" >${file('child')}; exec sleep 60' | cat\n`);
    await until('its command runs', 5000, async () =>
      isAlive(await numberIn('child').catch(() => 0)),
    );
    await takeOver();
    expect(isAlive(await numberIn('child'))).toBe(false);
    expect(isAlive(Number(old.pid))).toBe(false);
    expect(isAlive(await numberIn('relay'))).toBe(true);
  });

  it('ends what one has started that is gone itself', async () => {
    const old = await takeOver();
    old.stdin?.write(`sh -c 'echo "$$" >${file('child')}; exec sleep 60' | cat\n`);
    await until('its command runs', 5000, async () =>
      isAlive(await numberIn('child').catch(() => 0)),
    );
    old.kill('SIGKILL');
    await until('it is gone', 5000, () => !isAlive(Number(old.pid)));
    await takeOver();
    expect(isAlive(await numberIn('child'))).toBe(false);
  });
});

/** Lists the files beside it, notes what it is called with, and refuses the first transaction. */
const NFT = `#!/bin/sh
cd "$(dirname "$0")"
echo "$*" >>calls
case "$1" in
  list) echo "elements = { $(cat "$5") }" ;;
  *) cat >>transactions; [ "$(grep -c -e "-f -" calls)" -gt 1 ] ;;
esac
`;

describe('what a run leaves in the records of the VPN client', () => {
  it('is forgotten at once, however much it is, and again where an element has expired meanwhile', () =>
    inTempFolder(async (folder) => {
      const ports = Array.from({ length: 300 }, (_, index) => index + 1);
      const said = 'counter packets 1 bytes 60 expires 59m50s';
      const keys = ports.map((port) => `10.77.1.3 . 10.76.0.9 . tcp . ${port}`);
      const others = [`10.77.1.11 . 10.76.0.9 . tcp . 1 ${said}`];
      const files = {
        refused_in: `10.76.0.9 . 10.77.1.3 . udp . 8888 ${said}`,
        refused_out: [...others, ...keys.map((key) => `${key} ${said}`)].join(',\n'),
        resumed: '10.77.1.3 . 8888 expires 9m : 49152, 10.77.1.11 . 8888 expires 9m : 49153',
      };
      for (const [name, text] of Object.entries(files))
        await writeFile(path.join(folder, name), text);
      await writeFile(path.join(folder, 'nft'), NFT, { mode: 0o755 });
      await promisify(execFile)('/bin/sh', ['-c', `. ${CLIENT}; forget 10.77.1.3`], {
        env: { ...process.env, PATH: `${folder}:${process.env.PATH}` },
      });
      const transaction = [
        'delete element inet v6client refused_in { 10.76.0.9 . 10.77.1.3 . udp . 8888 }',
        `delete element inet v6client refused_out { ${keys.join(', ')} }`,
        'delete element inet v6client resumed { 10.77.1.3 . 8888 }',
      ];
      const told = await readFile(path.join(folder, 'transactions'), 'utf8');
      expect(told.trim().split('\n')).toEqual([...transaction, ...transaction]);
      const calls = await readFile(path.join(folder, 'calls'), 'utf8');
      expect(calls.trim().split('\n')).toHaveLength(8);
    }));
});
